from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hbaclib import CLASSES, plots, score_by_tier
from hbaclib.errors import DataError
from hbaclib.inputs.spec import InputSpec
from hbaclib.plots.recordings import CHANNEL_NAMES
from tests.report.fake_run import fake_eeg, fake_model, fake_votes


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    n_votes = rng.choice([2, 5, 12], 300)
    expected, targets = fake_votes(rng, 300, n_votes)
    return targets, fake_model(rng, expected, 0.7), n_votes, rng.integers(0, 120, 300)


def texts(figure) -> str:
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(plt.Text))


def assert_no_overlap(figure) -> None:
    """No two labels of an axis lie over each other, and nothing is cut off."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for axis in figure.axes:
        for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
            boxes = [label.get_window_extent(renderer) for label in labels if label.get_text() and label.get_visible()]
            shown = [box for box in boxes if box.width > 0]
            for first, second in itertools.pairwise(shown):
                assert not first.shrunk(0.95, 0.8).overlaps(second.shrunk(0.95, 0.8))
    tight = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    assert tight.x0 > -0.05
    assert tight.y0 > -0.05
    assert tight.x1 < width + 0.05
    assert tight.y1 < height + 0.05


def test_a_montage_names_derivations_time_and_microvolt():
    eeg = fake_eeg(np.random.default_rng(1))
    figure = plots.plot_montage(eeg, "LPD", seconds=(18, 32))
    shown = texts(figure)
    for part in ("Fp1–F7", "T6–O2", "P4–O2", "µV", "time (s)", "LPD"):
        assert part in shown
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len(lines) == 16
    assert lines[0].get_xdata()[[0, -1]] == pytest.approx([18, 32], abs=0.01)
    assert_no_overlap(figure)


def test_the_scale_bar_is_true():
    """A step of 100 µV in one electrode is as long as twice a 50 µV bar."""
    eeg = np.zeros((10_000, 20), np.float32)
    eeg[5000:, 4] = 100  # F7
    figure = plots.plot_montage(eeg, microvolt=50, band=None)
    traces = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    bar = next(line.get_ydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 2)
    steps = [np.ptp(trace) for trace in traces]
    assert bar[1] - bar[0] == 1
    assert sorted(steps)[-2:] == pytest.approx([2, 2])
    assert "50 µV" in texts(figure)


def test_a_montage_is_drawn_without_drift_and_mains_and_with_its_gaps():
    time = np.arange(10_000) / 200
    eeg = np.zeros((10_000, 20))
    eeg[:, 0] = 300 * time + 40 * np.sin(2 * np.pi * 60 * time) + 30 * np.sin(2 * np.pi * 6 * time)
    eeg[4200:4400, 0] = np.nan
    figure = plots.plot_montage(eeg, seconds=(10, 40), microvolt=100)
    trace = next(line for line in figure.axes[0].lines if len(line.get_xdata()) > 2)
    shown, at = 100 * trace.get_ydata(), trace.get_xdata()
    wave = 30 * np.sin(2 * np.pi * 6 * at)
    apart = (np.abs(at - 21.5) > 2) & np.isfinite(shown)
    assert np.abs(shown - np.nanmedian(shown) - wave)[apart].max() < 8
    assert np.isnan(shown[(at >= 21) & (at < 22)]).all()
    assert "0.5–40 Hz" in texts(figure)


@pytest.mark.parametrize("kind", ["flat", "nan", "one electrode lost"])
def test_a_montage_of_a_bad_recording_is_drawn(kind):
    eeg = np.zeros((10_000, 20), np.float32)
    if kind == "nan":
        eeg[:] = np.nan
    if kind == "one electrode lost":
        eeg = fake_eeg(np.random.default_rng(2))
        eeg[:, 3] = np.nan
    assert "µV" in texts(plots.plot_montage(eeg))


def test_inputs_have_names_frequencies_and_seconds():
    image = np.random.default_rng(3).normal(0, 0.5, (128, 256, 8))
    figure = plots.plot_input(image, "GPD")
    shown = texts(figure)
    for name in (*CHANNEL_NAMES, "frequency (Hz)", "frequency (Hz, mel)", "time in the ten minutes (s)"):
        assert name in shown
    assert_no_overlap(figure)
    assert_no_overlap(plots.plot_input(image[:, :, :4]))
    figure = plots.plot_class_example(fake_eeg(np.random.default_rng(4)), image[:, :, :4], "GPD")
    assert_no_overlap(figure)
    assert "bipolar derivation" in texts(figure)


def test_learning_curves_of_two_stages_go_on_along_the_axis():
    history = pd.DataFrame(
        {
            "stage": [1, 1, 2, 2] * 2,
            "epoch": [1, 2, 1, 2] * 2,
            "loss": np.linspace(1, 0.5, 8),
            "val_kl": np.linspace(1.1, 0.6, 8),
            "val_kl_many_votes": np.nan,
            "fold": ["fold-0"] * 4 + ["fold-1"] * 4,
        }
    )
    figure = plots.plot_learning_curves(history)
    assert len(figure.axes) == 2  # a column without values has no panel
    curve = next(line for line in figure.axes[0].lines if line.get_label() == "fold-1")
    assert curve.get_xdata().tolist() == [1, 2, 3, 4]
    shown = texts(figure)
    for part in ("epoch", "KL divergence (nats)", "training loss", "held-out score", "fold-0"):
        assert part in shown
    assert_no_overlap(figure)
    with pytest.raises(DataError, match="column missing: loss"):
        plots.plot_learning_curves(history[["epoch"]])


def test_learning_curves_of_several_seeds_are_lines_of_their_own():
    fits = [(fold, seed, epoch) for fold in (0, 1) for seed in (0, 7) for epoch in (1, 2, 3)]
    history = pd.DataFrame(fits, columns=["fold", "seed", "epoch"]).assign(loss=np.linspace(1, 0.5, len(fits)))
    (axis,) = plots.plot_learning_curves(history).axes
    assert {line.get_label(): len(line.get_xdata()) for line in axis.lines} == {
        f"fold {fold}, seed {seed}": 3 for fold in (0, 1) for seed in (0, 7)
    }
    (axis,) = plots.plot_learning_curves(history[history["seed"] == 7]).axes
    assert [line.get_label() for line in axis.lines] == ["fold 0", "fold 1"]


def test_scores_one_panel_per_tier(scored):
    targets, predictions, n_votes, patients = scored
    table = score_by_tier(targets, predictions, n_votes, patients)
    figure = plots.plot_scores({"ensemble": table, "04_train_efficientnet-b0": table, "class mean": table})
    assert len(figure.axes) == 4
    assert "≥ 10 votes" in texts(figure)
    assert "KL divergence (nats)" in texts(figure)
    assert_no_overlap(figure)
    assert len(plots.plot_scores(table, tier="3-9").axes) == 1
    with pytest.raises(DataError, match="no samples of tier 12"):
        plots.plot_scores(table, tier="12")


def test_confusion_reliability_votes_folds_weights(scored):
    targets, predictions, _, _ = scored
    folds = pd.DataFrame({"fold": [0, 1], "patients": [60, 60], "samples": [150, 150]})
    folds[list(CLASSES)] = 1 / 6
    members = pd.DataFrame({"name": ["a", "b"], "weight": [0.7, 0.3], "adds": [0.01, np.nan]})
    for figure, parts in (
        (plots.plot_confusion(targets, predictions), ["experts' plurality", "predicted class", *CLASSES]),
        (plots.plot_reliability(targets, predictions), ["predicted share", "experts' mean share", *CLASSES]),
        (plots.plot_votes(targets[0], predictions[0]), ["share of the votes", "experts", "predicted"]),
        (plots.plot_folds(folds), ["fold 1 (60 patients, 150 samples)", "mean share of the votes"]),
        (plots.plot_weights(members), ["weight", "rise of the KL divergence without it (nats)"]),
    ):
        shown = texts(figure)
        for part in parts:
            assert part in shown
        assert_no_overlap(figure)


def test_confusion_of_absent_classes():
    assert "0.50" in texts(plots.plot_confusion(np.eye(6)[[0, 0]], np.tile([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], (2, 1))))


@pytest.mark.parametrize(("inputs", "shape"), [("both", (128, 256, 8)), ("eeg", (128, 256, 4)), ("raw", (2000, 8))])
def test_augmentations_are_drawn_beside_the_stored_sample(inputs, shape):
    class Arrays:
        def gather(self, rows, inputs):
            return np.random.default_rng(0).normal(0, 0.5, (len(rows), *shape)).astype(np.float32)

    layout = "raw" if inputs == "raw" else "stem"
    plan = InputSpec(layout=layout, inputs=inputs, augmentation={"time_flip": {"p": 1.0}})
    figure = plots.show_augmentations(Arrays(), plan)
    assert "as stored" in texts(figure)
    axes = np.array(figure.axes).reshape(2, 5)
    if inputs == "raw":
        first, second = (axis.lines[0].get_ydata() for axis in axes[0, :2])
        assert second == pytest.approx(first[::-1])
    else:
        first, second = (np.asarray(axis.images[0].get_array()) for axis in axes[0, :2])
        assert second == pytest.approx(first[:, ::-1])
    assert_no_overlap(figure)


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots.plot_montage(np.zeros((100, 19))),
        lambda: plots.plot_montage(np.zeros((10_000, 20)), seconds=(50, 60)),
        lambda: plots.plot_input(np.zeros((128, 256, 3))),
        lambda: plots.plot_class_example(np.zeros((10_000, 20)), np.zeros((128, 256, 8))),
    ],
)
def test_wrong_shapes_are_refused(call):
    with pytest.raises(DataError, match="expected"):
        call()


def test_live_curves_are_one_picture_that_goes_in_the_end(monkeypatch):
    from IPython import display

    shown = []
    monkeypatch.setattr(display.DisplayHandle, "display", lambda self, given: shown.append(("new", given)))
    monkeypatch.setattr(display.DisplayHandle, "update", lambda self, given: shown.append(("again", given)))
    history = pd.DataFrame({"fold": "fold-0", "stage": 1, "epoch": [1, 2], "loss": [1.0, 0.8], "val_kl": [1.1, 0.9]})
    with plots.live_learning_curves() as draw:
        draw(history[:1])
        draw(history)
    assert [kind for kind, _ in shown] == ["new", "again", "again"]
    assert [len(figure.axes[0].lines[0].get_xdata()) for _, figure in shown[:2]] == [1, 2]
    assert shown[2][1].data == "" and not plt.get_fignums()
    with plots.live_learning_curves():
        pass
    assert len(shown) == 3  # nothing to take away
