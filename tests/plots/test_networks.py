"""Pictures of networks: what stands in the boxes, which connections are drawn, and that nothing hides anything."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch

from hbaclib import build_model
from hbaclib.plots.network_boxes import Box, network_boxes, place_boxes
from hbaclib.plots.networks import plot_loss_against_epoch, plot_network


def texts_of(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]


def drawn(figure):
    """(from, to) of the connections as the lines show them: first words of the boxes at which they begin and end."""
    place = {text.get_position(): text.get_text().split()[0] for text in texts_of(figure)}

    def box_at(x, y):
        near = [name for (a, b), name in place.items() if abs(a - x) < 1e-6 and abs(b - y) < 0.35]
        return near[0] if near else (round(x, 6), round(y, 6))

    lines = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    ends = [patch._path_original.vertices[[0, -1]] for patch in lines]
    steps = [(box_at(*first), box_at(*last)) for first, last in ends]
    # A line that passes rows by is drawn in two pieces, which meet at a place without a box.
    passing = {first: last for first, last in steps if isinstance(first, tuple)}
    return sorted((first, passing.get(last, last)) for first, last in steps if not isinstance(first, tuple))


def assert_nothing_overlaps(figure):
    figure.canvas.draw()
    outlines = [(text.get_text(), text.get_bbox_patch().get_window_extent()) for text in texts_of(figure)]
    for number, (name, box) in enumerate(outlines):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, name
        for other_name, other in outlines[:number]:
            apart = box.x1 < other.x0 or other.x1 < box.x0 or box.y1 < other.y0 or other.y1 < box.y0
            assert apart, f"{name!r} lies over {other_name!r}"


def chain_of(*names):
    return list(pairwise(names))


def test_boxes_follow_the_data_from_input_to_head():
    model = build_model("convnet_small", "stem", "eeg", downsample=[4, 1])
    figure = plot_network(model)
    texts = [text.get_text() for text in texts_of(figure)]
    assert texts[0] == "image  128 × 256 × 4\ninput"
    assert texts[1] == "downsample  32 × 256 × 4\nAveragePooling2D"
    assert texts[-1].startswith("head  6\nDense, ")
    assert f"{model.count_params():,} parameters" in figure.axes[0].get_title()
    assert_nothing_overlaps(figure)


def test_the_recurrent_layer_is_drawn_beside_the_convolutions():
    figure = plot_network(build_model("resnet1d_gru", "raw", "raw", shape=(256, 8), blocks=3))
    kernels = [f"parallel{k}" for k in (3, 5, 7, 9, 11)]
    expected = [("signal", name) for name in (*kernels, "gru")] + [(name, "parallel") for name in kernels]
    expected += chain_of("parallel", "parallel_bn", "parallel_silu", "halve", "block1a_bn", "block2a_bn", "block3a_bn")
    expected += chain_of("block3a_bn", "last_bn", "last_silu", "mean", "flat", "features", "head")
    expected += [("gru", "features")]
    assert drawn(figure) == sorted(expected)
    (block,) = [text.get_text() for text in texts_of(figure) if text.get_text().startswith("block2a_bn")]
    assert block == "block2a_bn … block2_sum  160 × 24\n9 layers, 5,952 parameters"
    assert_nothing_overlaps(figure)
    columns = {text.get_text().split()[0]: text.get_position()[0] for text in texts_of(figure)}
    assert len({columns[name] for name in (*kernels, "gru")}) == 6


def test_both_parts_of_a_fusion_lead_into_the_join():
    model = build_model("mobilenet_v3_large_wavenet", shape=(64, 64, 8), signal_shape=(256, 8))
    figure = plot_network(model)
    edges = drawn(figure)
    names = [text.get_text().split()[0] for text in texts_of(figure)]
    parents = {name: sorted(first for first, last in edges if last == name) for name in names}
    (flatten,) = [name for name in names if name.startswith("flatten")]
    assert parents["joined"] == sorted(["average", flatten]) and parents["head"] == ["joined"]
    assert [name for name in names if not parents[name]] == ["image", "signal"]

    def above(name):
        return [name, *above(parents[name][0])] if parents[name] else [name]

    assert above("average")[-2:] == ["to_unit_range", "image"]
    wave = [name for name in above(flatten) if name.startswith("wave")]
    assert wave[::-1] == [*(f"wave{n}_{part}" for n in (1, 2, 3, 4) for part in ("in", "tanh1")), "wave_mean"]
    assert above(flatten)[-1] == "signal"
    assert len(names) < 30
    assert_nothing_overlaps(figure)


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50_v2"])
def test_a_deep_network_is_one_box_a_size(name):
    model = build_model(name, shape=(64, 96, 8))
    boxes = network_boxes(model)
    assert len(boxes) < 12 and all(box.parents == (number - 1,) for number, box in enumerate(boxes) if number)
    sizes = [box.shape[:2] for box in boxes if len(box.shape) == 3 and len(box.names) > 1]
    assert len(sizes) == len(set(sizes)) and sizes[-1] == (2, 3)
    assert sum(box.parameters for box in boxes) == model.count_params()
    assert_nothing_overlaps(plot_network(model))


def test_a_layer_that_is_called_twice_counts_once_and_its_calls_are_apart():
    import keras

    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    shared = keras.layers.Dense(3, name="shared")
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="inner")])
    joined = keras.layers.Concatenate(name="joined")([inner(shared(first)), shared(second)])
    model = keras.Model([first, second], joined)
    boxes = network_boxes(model)
    assert sum(box.parameters for box in boxes) == model.count_params() == 15 + 8
    names = [(box.names[0], [boxes[parent].names[0] for parent in box.parents]) for box in boxes]
    assert sorted(names, key=str) == sorted(
        [("first", []), ("second", []), ("shared", ["first"]), ("shared", ["second"]), ("inner", ["shared"]),
         ("joined", ["inner", "shared"])], key=str,
    )  # fmt: skip


def test_a_connection_that_passes_rows_by_runs_beside_the_boxes():
    def box(name, *parents):
        return Box((name,), "Dense", (3,), 1, parents)

    # `left` leads to `long` in the next row and, past two rows, to `meet`; the input leads there as well.
    boxes = [box("input"), box("left", 0), box("long", 1), box("longer", 2), box("meet", 3, 1, 0)]
    full, places = place_boxes(boxes)
    assert [box.names for box in full if box.names] == [box.names for box in boxes]
    assert len(set(places)) == len(places) == 7
    assert [row for box, (_, row) in zip(full, places, strict=True) if box.names] == [0, 1, 2, 3, 4]
    taken = {place: number for number, place in enumerate(places)}
    for number, box_ in enumerate(full):
        for parent in box_.parents:
            column, row = places[parent]
            between = {(column, passed) for passed in range(row + 1, places[number][1])}
            assert not between & set(taken), "a line runs through a box"


def test_epochs_are_whole_numbers():
    history = pd.DataFrame({"stage": 1, "epoch": [1, 2, 3], "loss": [1.0, 0.9, 0.8], "val_kl": [1.1, 1.0, 1.0]})
    figure = plot_loss_against_epoch({"one": history, "two": history})
    figure.canvas.draw()
    for axis in figure.axes:
        assert all(float(tick).is_integer() for tick in axis.get_xticks())
