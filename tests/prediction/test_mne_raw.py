"""An `mne.io.Raw` in the place of files gives what its EEG gives."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mne
import numpy as np
import pytest

from hbaclib import from_mne, predict
from hbaclib.conventions import EEG_COLUMNS, SCALP_ELECTRODES
from hbaclib.errors import DataError, DataFileError
from hbaclib.prediction.mne_raw import is_raw
from hbaclib.signal.montage import LONGITUDINAL_PAIRS, bipolar
from tests.dataset.tiny import random_eeg
from tests.made_shipped import IMAGE, make_shipped


def raw_of(eeg: np.ndarray, names: list[str] | None = None, rate: float = 200.0) -> Any:
    names = names or [f"EEG {name}-Ref" for name in SCALP_ELECTRODES]
    info = mne.create_info(names, rate, "eeg")
    return mne.io.RawArray(eeg[:, : len(names)].T.astype(np.float64) * 1e-6, info, verbose="ERROR")


@pytest.fixture(scope="module")
def eeg() -> np.ndarray:
    return random_eeg(np.random.default_rng(0), 15_000)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    both = {**IMAGE, "name": "both", "inputs": "both"}
    return make_shipped(tmp_path_factory.mktemp("run"), {"eeg": IMAGE, "both": both})


def test_it_is_given_as_the_networks_take_it(eeg: np.ndarray) -> None:
    found = from_mne(raw_of(eeg))
    assert found.shape == (15_000, 20) and found.dtype == np.float32
    np.testing.assert_allclose(bipolar(found), bipolar(eeg), atol=1e-3)
    assert np.isnan(found[:, EEG_COLUMNS.index("EKG")]).all()
    banana = raw_of(bipolar(eeg), ["-".join(pair) for pair in LONGITUDINAL_PAIRS])
    np.testing.assert_allclose(bipolar(from_mne(banana)), bipolar(eeg), atol=1e-3)
    assert len(from_mne(raw_of(np.repeat(eeg, 2, axis=0), rate=400.0))) == 15_000


@pytest.mark.parametrize("folder", ["eeg", "both"])
def test_predict_takes_it(networks: Any, eeg: np.ndarray, folder: str) -> None:
    found = predict(networks / folder, raw_of(eeg))
    assert found.shape == (3, 6) and np.isfinite(found).all()
    if folder == "eeg":
        windows = np.stack([from_mne(raw_of(eeg))[2000 * k : 2000 * k + 10_000] for k in range(3)])
        np.testing.assert_allclose(found, predict(networks / folder, windows), atol=1e-6)


def test_a_window_with_a_gap_has_no_shares(networks: Any) -> None:
    eeg = random_eeg(np.random.default_rng(1), 30_000)
    raw = raw_of(eeg)
    raw.set_annotations(mne.Annotations([60.0], [5.0], ["BAD_ACQ_SKIP"]))
    with pytest.warns(UserWarning, match="a gap of more than a second"):
        found = predict(networks / "eeg", raw)
    assert np.isfinite(found).all(axis=1).tolist() == [k in (0, 1, 7, 8, 9, 10) for k in range(11)]
    gap = np.isnan(from_mne(raw)).all(axis=1)
    assert gap[12_000:13_000].all() and gap.sum() == 1000


def test_what_cannot_be_used_is_named(networks: Any, eeg: np.ndarray) -> None:
    with pytest.raises(DataFileError, match=r"40 s; expected at least 50 s; short ="):
        predict(networks / "eeg", raw_of(eeg[:8000]))
    assert predict(networks / "eeg", raw_of(eeg[:8000]), short="reflect").shape == (1, 6)
    with pytest.raises(DataError, match="spectrograms were given with"):
        predict(networks / "eeg", raw_of(eeg), np.ones((3, 300, 400), np.float32))
    with pytest.raises(DataError, match="ndarray given; expected an"):
        from_mne(eeg)
    with pytest.raises(DataFileError, match="electrode"):
        from_mne(raw_of(eeg, ["X1", "X2"]))
    with pytest.raises(DataFileError, match="montage"):
        predict(networks / "eeg", raw_of(eeg, ["Fp1", "F7", "T3"]))


def test_differences_are_taken_in_the_place_of_electrodes(networks: Any, eeg: np.ndarray) -> None:
    from hbaclib import to_differences

    windows = np.stack([eeg[:10_000], eeg[5000:]])
    np.testing.assert_array_equal(
        predict(networks / "eeg", to_differences(windows)), predict(networks / "eeg", windows)
    )
    with pytest.raises(DataError, match=r"expected \(n, 10000, 20\)"):
        predict(networks / "eeg", windows[..., :19])


def test_mne_is_imported_by_nobody_else() -> None:
    code = "import sys, numpy, hbaclib.prediction.mne_raw as m; m.is_raw(numpy.ones(3)); sys.exit('mne' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert not is_raw(np.ones(3)) and is_raw(raw_of(np.zeros((300, 20))))
