"""A Keras graph in few boxes: which layers share one, which box hangs on which, and where each stands in a picture.

Boxes follow the connections of the graph, those inside nested models too. A block with shortcuts, gates or squeeze and
excitation is folded into one box; branches that a concatenation joins stay apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Any

from hbaclib.compat.keras_graph import calls_of, is_graph

LONGEST = 20
"""Boxes of a chain beyond which neighbours that keep the size in space and time share one."""


@dataclass(frozen=True)
class Box:
    """One or more layers of a network.

    Attributes:
        names: of the layers, in the order of the data; none where a connection only passes by.
        kind: class of the layer, or of the last one.
        shape: of a sample behind the box.
        parameters: of all its layers.
        parents: places in the list of the boxes that it takes its input from; none for an input.
    """

    names: tuple[str, ...]
    kind: str
    shape: tuple[int, ...]
    parameters: int
    parents: tuple[int, ...]


def network_boxes(model: Any) -> list[Box]:
    """The boxes of a network, each behind those that it takes its input from.

    Args:
        model: a Keras model made of layers that are called on each other's outputs.
    """
    boxes = _merge(layers := _layers(model), _folds(layers))
    return _merge(boxes, _stages(boxes))


def children_of(boxes: Sequence[Box]) -> list[list[int]]:
    """For each box the places of those that take its output."""
    children: list[list[int]] = [[] for _ in boxes]
    for number, box in enumerate(boxes):
        for parent in box.parents:
            children[parent].append(number)
    return children


def _layers(model: Any) -> list[Box]:
    """One box a layer, nested models opened."""
    boxes: list[Box] = []
    counted: set[int] = set()

    def add(graph: Any, entries: list[int] | None) -> list[int]:
        """Add a model's layers behind the boxes of its inputs; the boxes of its outputs."""
        made = dict(zip(map(id, graph.inputs), entries, strict=True)) if entries else {}
        for call in calls_of(graph):
            layer = call.operation
            if entries and call.is_input:
                continue
            parents = list(dict.fromkeys(made[id(tensor)] for tensor in call.input_tensors))
            if is_graph(layer):
                outputs = add(layer, [made[id(tensor)] for tensor in call.input_tensors])
            else:
                parameters = 0 if id(layer) in counted or not hasattr(layer, "weights") else layer.count_params()
                counted.add(id(layer))
                shape = tuple(size for size in call.output_tensors[0].shape[1:] if size is not None)
                boxes.append(Box((layer.name,), type(layer).__name__, shape, parameters, tuple(parents)))
                outputs = [len(boxes) - 1] * len(call.output_tensors)
            made.update(zip(map(id, call.output_tensors), outputs, strict=True))
        return [made[id(tensor)] for tensor in graph.outputs]

    add(model, None)
    return boxes


def _folds(boxes: Sequence[Box]) -> list[int]:
    """For each box the last one of those that it is folded with: a block between a fork and the place it meets again.

    A concatenation of branches that all compute something is none; nor is what forks at an input.
    """
    children, end = children_of(boxes), len(boxes)
    # Where everything that leaves a box has come together again: the immediate post-dominator.
    meets = [end] * (end + 1)
    for number in reversed(range(end)):
        first, *others = children[number] or [end]
        for other in others:
            while first != other:
                first, other = (meets[first], other) if first < other else (first, meets[other])
        meets[number] = first
    into = list(range(end))
    for fork, meet in enumerate(meets[:-1]):
        if into[fork] != fork or len(children[fork]) < 2 or not boxes[fork].parents or meet == end:
            continue
        block, waiting = {meet}, list(children[fork])
        while waiting:
            if (number := waiting.pop()) not in block:
                block.add(number)
                waiting += children[number]
        branches = boxes[meet].kind == "Concatenate" and fork not in boxes[meet].parents
        entered = any(set(boxes[number].parents) - block - {fork} for number in block)
        if not branches and not entered:
            for number in block:
                into[number] = meet
    return into


def _stages(boxes: Sequence[Box]) -> list[int]:
    """The same for the neighbours of a long chain that keep the size; channels change inside every block."""
    into = list(range(len(boxes)))
    for chain in chains(boxes):
        if len(chain) > LONGEST:
            for before, number in reversed(list(pairwise(chain))):
                size = boxes[number].shape[:-1]
                # Padding belongs to the layer that it is made for.
                same = size == boxes[before].shape[:-1] or boxes[before].kind.startswith("ZeroPadding")
                if size and same and boxes[before].parents:
                    into[before] = into[number]
    return into


def chains(boxes: Sequence[Box]) -> list[list[int]]:
    """The longest runs of boxes without a fork or a join between them, in the order of their first boxes."""
    children = children_of(boxes)
    found: dict[int, list[int]] = {}
    for number, box in enumerate(boxes):
        follows = len(box.parents) == 1 and len(children[box.parents[0]]) == 1
        found[number] = found[box.parents[0]] if follows else []
        found[number].append(number)
    return [chain for number, chain in found.items() if chain[0] == number]


def _merge(boxes: Sequence[Box], into: Sequence[int]) -> list[Box]:
    groups: dict[int, list[int]] = {}
    for number, last in enumerate(into):
        groups.setdefault(last, []).append(number)
    place = {last: number for number, last in enumerate(sorted(groups))}
    merged = []
    for last, members in sorted(groups.items()):
        outside = {place[into[p]]: None for number in members for p in boxes[number].parents if into[p] != last}
        names = tuple(name for number in members for name in boxes[number].names)
        parameters = sum(boxes[number].parameters for number in members)
        merged.append(Box(names, boxes[last].kind, boxes[last].shape, parameters, tuple(outside)))
    return merged


def place_boxes(boxes: Sequence[Box]) -> tuple[list[Box], list[tuple[int, int]]]:
    """Give each box a column and a row so that no connection runs through another box.

    A connection leaves its box downwards in the box's own column and changes the column only in front of the box that
    it leads to. Where one of several that leave a box passes rows by, an empty box keeps a column free for it.

    Args:
        boxes: as `network_boxes` gives them.

    Returns:
        The boxes with the empty ones among them, and (column, row) of each, columns from 0 without gaps.
    """
    boxes, rows = _with_passages(boxes)
    children, columns = children_of(boxes), [0] * len(boxes)
    taken: set[tuple[int, int]] = set()
    roots = 0
    for chain in chains(boxes):
        parents = boxes[chain[0]].parents
        if not parents:
            wish, roots = roots, roots + 1
        elif len(parents) > 1:
            wish = sorted(columns[parent] for parent in parents)[(len(parents) - 1) // 2]
        else:
            siblings = [child for child in children[parents[0]] if len(boxes[child].parents) == 1]
            wish = columns[parents[0]] + siblings.index(chain[0]) - (len(siblings) - 1) // 2
        until = max([rows[chain[-1]], *(rows[child] - 1 for child in children[chain[-1]])])
        own = range(rows[chain[0]], until + 1)
        near = (column for step in count() for column in (wish - step, wish + step))
        column = next(column for column in near if taken.isdisjoint((column, row) for row in own))
        taken.update((column, row) for row in own)
        for number in chain:
            columns[number] = column
    order = {column: number for number, column in enumerate(sorted(set(columns)))}
    return boxes, [(order[column], row) for column, row in zip(columns, rows, strict=True)]


def _with_passages(boxes: Sequence[Box]) -> tuple[list[Box], list[int]]:
    children, rows = children_of(boxes), [0] * len(boxes)
    for number, box in enumerate(boxes):
        rows[number] = max((rows[parent] + 1 for parent in box.parents), default=0)
    full: list[Box] = []
    full_rows: list[int] = []
    place: list[int] = []
    for number, box in enumerate(boxes):
        parents = []
        for parent in box.parents:
            if len(children[parent]) > 1 and rows[number] - rows[parent] > 1:
                full.append(Box((), "", (), 0, (place[parent],)))
                full_rows.append(rows[parent] + 1)
                parents.append(len(full) - 1)
            else:
                parents.append(place[parent])
        place.append(len(full))
        full.append(replace(box, parents=tuple(parents)))
        full_rows.append(rows[number])
    return full, full_rows
