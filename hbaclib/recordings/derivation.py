"""From a recording's channels to the differences that the networks see, whatever the montage.

Electrodes and references are the nodes of a graph, each channel is an edge from its anode to its cathode. A difference
of two electrodes is the sum of the channels along a path between them: the direct channel, or the shortest path. So a
referential recording, one against an average, linked or single ears, Cz, and a double banana are one rule, and the
result is one constant combination of channels for each difference.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hbaclib.conventions import CHAINS, EEG_COLUMNS, REGIONS
from hbaclib.recordings.channels import OPTION
from hbaclib.recordings.labels import EKG, UNNAMED
from hbaclib.signal.missing import RINGS, neighbour_weights
from hbaclib.signal.montage import DIFFERENCES as WANTED
from hbaclib.signal.montage import Pair

Terms = tuple[tuple[int, float], ...]
"""A combination of channels: (number, weight) of each; empty where it cannot be derived."""

RING_NAMES = tuple(tuple(EEG_COLUMNS[column] for column in ring) for ring in RINGS)
MOST_FILLED = 3
"""Electrodes that may be filled from their neighbours in a recording."""
MOST_NEUTRAL = 1
"""Regions that may be neutral in a recording that is predicted from."""
_ROUND = 9


@dataclass(frozen=True)
class Edge:
    """A channel that is kept.

    Attributes:
        channel: its number.
        anode: electrode.
        cathode: electrode, or reference in parentheses.
        flat: whether it was found to hold one value; used only where no other channel has the same nodes.
    """

    channel: int
    anode: str
    cathode: str
    flat: bool = False


@dataclass(frozen=True)
class Derivation:
    """What can be derived from a recording's channels.

    Attributes:
        differences: a combination of channels for each of WANTED; none in a neutral region.
        electrodes: for each of EEG_COLUMNS; those of a hemisphere have one reference.
        missing: electrodes without a combination.
        absent: electrodes of the chains that no channel ties to another one of their hemisphere.
        filled: those of them that are filled from their neighbours.
        neutral: regions that are neutral.
        unused: numbers of channels that repeat another one.
        montage: the montage in words.
        fault: why nothing can be predicted, with regions and electrodes; empty where it can.
    """

    differences: tuple[Terms, ...]
    electrodes: tuple[Terms, ...]
    missing: tuple[str, ...]
    absent: tuple[str, ...]
    filled: tuple[str, ...]
    neutral: tuple[str, ...]
    unused: tuple[int, ...]
    montage: str
    fault: str


def derive(edges: Sequence[Edge], hearts: Sequence[Edge] = ()) -> Derivation:
    """Find the combinations of channels.

    Args:
        edges: channels of electrodes, in the file's order.
        hearts: channels of the EKG: one, or two against one reference, of which the difference is taken.
    """
    kept, unused = _without_repeats(edges)
    graph = _Graph(kept)
    present = {name for ring in RING_NAMES for name in ring if any(graph.tied(name, other) for other in ring)}
    absent = tuple(name for ring in RING_NAMES for name in ring if name not in present)
    absent = tuple(name for name in EEG_COLUMNS if name in absent)
    weights = neighbour_weights(frozenset(absent))
    differences = [_difference(graph, pair, weights) for pair in WANTED]
    neutral = tuple(region for region in REGIONS if _is_neutral(region, absent, differences))
    of_neutral = {k for k, pair in enumerate(WANTED) if any(set(pair) <= set(CHAINS[region]) for region in neutral)}
    differences = [() if k in of_neutral else terms for k, terms in enumerate(differences)]
    electrodes = _electrodes(graph)
    electrodes[EEG_COLUMNS.index(EKG)] = _heart(hearts)
    filled = tuple(
        name for name in absent if any(name in CHAINS[region] for region in REGIONS if region not in neutral)
    )
    return Derivation(
        differences=tuple(differences),
        electrodes=tuple(electrodes),
        missing=tuple(name for name, terms in zip(EEG_COLUMNS, electrodes, strict=True) if not terms),
        absent=absent,
        filled=filled,
        neutral=neutral,
        unused=tuple(edge.channel for edge in unused),
        montage=_words(kept),
        fault=_fault(neutral, absent),
    )


class _Graph:
    """The channels as a graph."""

    def __init__(self, edges: Sequence[Edge]) -> None:
        self.edges = edges
        self.ends: dict[str, list[tuple[Edge, int]]] = {}
        for edge in edges:
            self.ends.setdefault(edge.anode, []).append((edge, 1))
            self.ends.setdefault(edge.cathode, []).append((edge, -1))
        self.component: dict[str, int] = {}
        for number, node in enumerate(self.ends):
            if node not in self.component:
                for reached in self._paths(node):
                    self.component[reached] = number

    def tied(self, one: str, other: str) -> bool:
        """Whether two different electrodes lie in one component."""
        return one != other and one in self.component and self.component[one] == self.component.get(other)

    def path(self, one: str, other: str) -> Terms:
        """The shortest combination that is one minus the other; empty where there is none."""
        return self._paths(one).get(other, ()) if self.tied(one, other) else ()

    def _paths(self, start: str) -> dict[str, Terms]:
        """Node -> start minus node, by fewest channels; of equal ones the first in the file's order."""
        found: dict[str, Terms] = {start: ()}
        waiting = deque([start])
        while waiting:
            node = waiting.popleft()
            for edge, sign in self.ends.get(node, ()):
                other = edge.cathode if sign > 0 else edge.anode
                if other not in found:
                    found[other] = (*found[node], (edge.channel, float(sign)))
                    waiting.append(other)
        return found


def _without_repeats(edges: Sequence[Edge]) -> tuple[list[Edge], list[Edge]]:
    """One channel of each pair of nodes: one that is not flat before a flat one, in the wanted direction, the first."""
    of_pair: dict[frozenset[str], list[Edge]] = {}
    for edge in edges:
        of_pair.setdefault(frozenset((edge.anode, edge.cathode)), []).append(edge)
    best = [min(same, key=lambda edge: (edge.flat, (edge.cathode, edge.anode) in WANTED)) for same in of_pair.values()]
    kept = sorted(best, key=lambda edge: edge.channel)
    numbers = {edge.channel for edge in kept}
    return kept, [edge for edge in edges if edge.channel not in numbers]


def _difference(graph: _Graph, pair: Pair, weights: Mapping[str, Mapping[str, float]]) -> Terms:
    """A difference of electrodes, of which those that are absent are means of their neighbours."""
    first, second = (weights.get(name, {name: 1.0}) for name in pair)
    total: dict[int, float] = {}
    for one, share in first.items():
        for other, part in second.items():
            if one == other:
                continue
            path = graph.path(one, other)
            if not path:
                return ()
            for channel, sign in path:
                total[channel] = total.get(channel, 0.0) + share * part * sign
    return _terms(total)


def _terms(total: Mapping[int, float]) -> Terms:
    return tuple((channel, weight) for channel, value in sorted(total.items()) if (weight := round(value, _ROUND)))


def _is_neutral(region: str, absent: Sequence[str], differences: Sequence[Terms]) -> bool:
    """Whether a difference of a region cannot be derived, or too much of it is missing."""
    wanted = [terms for pair, terms in zip(WANTED, differences, strict=True) if set(pair) <= set(CHAINS[region])]
    return not all(wanted) or region in neutral_regions(absent)


def neutral_regions(absent: Collection[str]) -> tuple[str, ...]:
    """The regions too much of which is missing to be filled from neighbours.

    Args:
        absent: electrodes that are missing; those beside the chains do not count.

    Returns:
        Those regions that lack two neighbours or two inner electrodes of their chain; or, where more than MOST_FILLED
        electrodes are missing, any.
    """
    many = sum(name in absent for ring in RING_NAMES for name in ring) > MOST_FILLED
    found = []
    for region in REGIONS:
        gone = [name in absent for name in CHAINS[region]]
        if any(gone) and (many or sum(gone[1:-1]) > 1 or any(one and other for one, other in pairwise(gone))):
            found.append(region)
    return tuple(found)


def _electrodes(graph: _Graph) -> list[Terms]:
    """A combination for each electrode: potentials by least squares, those of a hemisphere against one reference.

    The reference is what its channels have in common and is no electrode of the scalp, as ``REF`` or A1; else the mean
    of the electrodes that the channels tie together.
    """
    found: list[Terms] = [() for _ in EEG_COLUMNS]
    main = set[int]()
    for ring in RING_NAMES:
        numbers = Counter(graph.component[name] for name in ring if name in graph.component)
        if numbers:
            main.add(max(numbers, key=lambda number: (numbers[number], -number)))
    potentials = {number: _potentials(graph, number) for number in main}
    for column, name in enumerate(EEG_COLUMNS[:-1]):
        number = graph.component.get(name)
        if number in main:
            own = next((ring for ring in RING_NAMES if name in ring), ())
            others = Counter(graph.component[other] for other in own if other in graph.component)
            if not own or all(others[number] >= count for count in others.values()):
                found[column] = potentials[number].get(name, ())
    return found


def _potentials(graph: _Graph, number: int) -> dict[str, Terms]:
    nodes = [node for node, component in graph.component.items() if component == number]
    edges = [edge for edge in graph.edges if graph.component[edge.anode] == number]
    place = {node: k for k, node in enumerate(nodes)}
    incidence = np.zeros((len(edges), len(nodes)))
    for row, edge in enumerate(edges):
        incidence[row, place[edge.anode]] = 1
        incidence[row, place[edge.cathode]] = -1
    degree = Counter(edge.cathode for edge in edges)
    # A scalp electrode may be the reference too: all channels but its own stand against it.
    zero = max(degree, key=lambda node: (node not in EEG_COLUMNS, degree[node], -place[node]))
    if zero in EEG_COLUMNS and degree[zero] < len(edges):
        solution = np.linalg.pinv(incidence)
        inside = [place[node] for node in nodes if node in EEG_COLUMNS]
        solution -= solution[inside].mean(axis=0)
    else:
        solution = np.zeros((len(nodes), len(edges)))
        others = [k for k in range(len(nodes)) if k != place[zero]]
        solution[others] = np.linalg.pinv(incidence[:, others])
    solution = np.round(solution, _ROUND)
    found = dict[str, Terms]()
    for node in nodes:
        weights = solution[place[node]]
        # The scalp electrode that all others stand against is 0, and not missing.
        found[node] = tuple(
            (edge.channel, float(weight)) for edge, weight in zip(edges, weights, strict=True) if weight
        ) or ((edges[0].channel, 0.0),)
    return found


def _heart(hearts: Sequence[Edge]) -> Terms:
    if not hearts:
        return ()
    first = hearts[0]
    second = next((edge for edge in hearts[1:] if edge.cathode == first.cathode), None)
    return ((first.channel, 1.0),) if second is None else ((first.channel, 1.0), (second.channel, -1.0))


def _words(edges: Sequence[Edge]) -> str:
    """The montage in words."""
    scalp = set(EEG_COLUMNS)
    direct = {(edge.anode, edge.cathode) for edge in edges} | {(edge.cathode, edge.anode) for edge in edges}
    of_electrodes = [edge for edge in edges if edge.anode in scalp]
    against = Counter(edge.cathode for edge in of_electrodes)
    if not against:
        return "none"
    common = [node for node, count in against.items() if count > 1 and (node not in scalp or count > len(edges) / 2)]
    bipolar = sum(count for node, count in against.items() if node in scalp and node not in common)
    if all(pair in direct for pair in WANTED[:16]):
        return "double banana"
    if bipolar == len(of_electrodes):
        return f"bipolar ({bipolar} channels)"
    if sorted(common) == ["A1", "A2"]:
        words = "each side against its ear (A1, A2)"
    else:
        names = [_REFERENCES.get(node, f"against {node.strip('()')}") for node in common or against]
        words = "referential, " + " and ".join(names) if names else "referential"
    return words + (f", beside {bipolar} bipolar channels" if bipolar else "")


_REFERENCES = {
    UNNAMED: "reference not named",
    "(AVG)": "against the average",
    "(LE)": "against linked ears",
}


def _fault(neutral: Sequence[str], absent: Sequence[str]) -> str:
    if len(neutral) <= MOST_NEUTRAL:
        return ""
    lacking = []
    for region in neutral:
        gone = [name for name in CHAINS[region] if name in absent]
        lacking.append(
            f"{region} ({', '.join(gone) + ' missing' if gone else 'no channels tie its electrodes together'})"
        )
    return (
        f"montage: {len(neutral)} of {len(REGIONS)} regions cannot be derived: {'; '.join(lacking)}; expected at most "
        f"{MOST_NEUTRAL}; {OPTION}"
    )
