"""The same recording gives the same inputs and the same shares, whatever the file, montage, rate and unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hbaclib import eeg_spectrogram, kaggle_spectrogram, open_recording
from hbaclib.conventions import SCALP_ELECTRODES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor
from hbaclib.recordings.labels import read_label
from hbaclib.signal.raw import raw_signals
from hbaclib.timeline.bins import Timeline
from tests.made_shipped import IMAGE, WAVES, make_shipped
from tests.recordings.edf_files import write_edf
from tests.timeline.made import MadeRecording
from tests.timeline.same_recording import MONTAGES, all_forms, channels, steps

BOTH = {**IMAGE, "name": "synthetic-both", "inputs": "both"}


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return all_forms(tmp_path_factory.mktemp("forms"), steps())


@pytest.fixture(scope="module")
def inputs(forms: dict[str, Path]) -> dict[str, dict[str, np.ndarray]]:
    """Form -> inputs of the networks: of its first 50 s, and logarithms of its spectrogram."""
    found = {}
    for name, path in forms.items():
        with open_recording(path) as recording:
            assert recording.n_samples == 14_000
            given = recording.read_differences()
        found[name] = {
            "differences": given,
            "mel": eeg_spectrogram(given[:10_000]),
            "raw": raw_signals(given[:10_000]),
            "spectrogram": np.log(kaggle_spectrogram(given)),
        }
    return found


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> EnsemblePredictor:
    networks = make_shipped(tmp_path_factory.mktemp("run"), {"04_train_a": BOTH, "04_train_b": WAVES})
    return EnsemblePredictor.open(networks / "07_ensemble")


@pytest.fixture(scope="module")
def shares(forms: dict[str, Path], predictor: EnsemblePredictor) -> dict[str, np.ndarray]:
    found = {}
    for name, path in forms.items():
        with open_recording(path) as recording:
            found[name] = np.stack([each.shares for each in Timeline(recording).bins(predictor)])
    return found


@pytest.mark.parametrize("montage", MONTAGES)
def test_montages_give_the_same_inputs(inputs: dict[str, dict[str, np.ndarray]], montage: str) -> None:
    for product, expected in inputs["Parquet"].items():
        np.testing.assert_allclose(inputs[montage][product], expected, rtol=0, atol=1e-4, err_msg=product)


CHAINED = tuple(name for name in SCALP_ELECTRODES if not name.endswith("z"))
LACKING = ("average", "linked ears", "ears", "Cz", "other names", "double banana", "untidy banana")


@pytest.mark.parametrize("number", range(len(CHAINED)), ids=CHAINED)
def test_so_they_do_without_an_electrode(tmp_path: Path, number: int) -> None:
    """Whatever the reference is: with two other montages for every electrode, and each montage several times."""
    name, values = CHAINED[number], steps()[:10_000]
    expected: dict[str, np.ndarray] = {}
    for montage in ("REF", LACKING[number % 7], LACKING[(number + 3) % 7]):
        parts = channels(values, montage)
        ends = [(read_label(label).anode, read_label(label).cathode) for label, _ in parts]
        parts = [part for part, pair in zip(parts, ends, strict=True) if name not in pair]
        assert len(parts) < len(ends)
        names, rows = zip(*parts, strict=True)
        path = write_edf(tmp_path / "a.edf", np.stack(rows, axis=1), names)
        with open_recording(path) as recording:
            assert recording.derivation.filled == (name,) and recording.neutral == ()
            given = recording.read_differences()
        found = {"mel": eeg_spectrogram(given), "raw": raw_signals(given), "rows": np.log(kaggle_spectrogram(given))}
        for product, products in found.items():
            np.testing.assert_allclose(products, expected.setdefault(product, products), rtol=0, atol=1e-4)
            assert np.isfinite(products).all()


@pytest.mark.parametrize("unit", ["mV", "V", "nV"])
def test_so_do_units(inputs: dict[str, dict[str, np.ndarray]], unit: str) -> None:
    for product, expected in inputs["REF"].items():
        np.testing.assert_allclose(inputs[unit][product], expected, rtol=0, atol=1e-4, err_msg=product)


@pytest.mark.parametrize("rate", ["256 Hz", "500 Hz"])
def test_rates_differ_by_what_lies_at_the_dark_end(inputs: dict[str, dict[str, np.ndarray]], rate: str) -> None:
    for product, bound in (("mel", 0.01), ("raw", 0.005), ("spectrogram", 0.02)):
        assert np.abs(inputs[rate][product] - inputs["Parquet"][product]).mean() < bound, product


def test_shares_are_the_same(shares: dict[str, np.ndarray]) -> None:
    expected = shares["Parquet"]
    assert np.isnan(expected[:2]).all() and np.isfinite(expected[2:4]).all()
    for name, found in shares.items():
        bound = 1e-4 if name in MONTAGES or name in ("mV", "V", "nV") else 1e-3
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound, err_msg=name)


def test_blocks_of_any_size_give_the_same_timeline(predictor: EnsemblePredictor) -> None:
    eeg = make_segment("LPD", 5, seconds=240).eeg
    recording = MadeRecording(eeg, [(0, 15_000), (17_050, len(eeg))])

    def shares_of(seconds: int) -> np.ndarray:
        bins = list(Timeline(recording, block=seconds * 200).bins(predictor))
        return np.stack([each.shares for each in bins])

    whole = shares_of(3600)
    assert np.isfinite(whole).all(axis=1).sum() == 14
    np.testing.assert_array_equal(shares_of(3600), whole)
    for seconds in (60, 600):
        np.testing.assert_allclose(shares_of(seconds), whole, rtol=0, atol=1e-5)
