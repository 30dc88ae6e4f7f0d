"""One recording in many forms: montages, rates and units of EDF, and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import edfio
import numpy as np
from scipy import signal

from hbaclib.conventions import EEG_COLUMNS, SCALP_ELECTRODES
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.signal.montage import LONGITUDINAL_PAIRS
from tests.dataset.tiny import write_eeg

MONTAGES = ("REF", "average", "linked ears", "ears", "Cz", "other names", "double banana", "untidy banana")
RATES = (200, 256, 500)
UNITS = {"uV": 1.0, "mV": 1e-3, "V": 1e-6, "nV": 1e3}
STEP = 0.1
"""µV of a digital step: differences of whole steps are whole steps, so that montages differ in nothing."""
_LIMIT = 3200.0
_NEW_NAMES = {"T3": "t7", "T4": "t8", "T5": "p7", "T6": "p8"}

Channels = list[tuple[str, np.ndarray]]


def steps(seconds: int = 70, seed: int = 3, meant: str = "LPD") -> np.ndarray:
    """A synthetic recording (n_samples, 20) in whole steps, of a moderate amplitude."""
    eeg = make_segment(meant, seed, seconds=seconds).eeg
    eeg = eeg - np.median(eeg, axis=0)
    return np.round(np.clip(eeg, -700, 700) / STEP).astype(np.int64)


def channels(values: np.ndarray, montage: str) -> Channels:
    """Channels of a montage, in whole steps as `values` (n_samples, 20)."""
    rng = np.random.default_rng(0)
    of = dict(zip(EEG_COLUMNS, values.T, strict=True))
    ears = {ear: rng.integers(-400, 400, len(values)) for ear in ("A1", "A2")}
    average = np.round(values[:, :19].mean(axis=1)).astype(np.int64)
    heart = ("ECG EKG", of["EKG"])
    if montage == "REF":
        return [*((f"EEG {name}-REF", of[name]) for name in SCALP_ELECTRODES), heart]
    if montage == "average":
        return [*((f"{name}-AVG", of[name] - average) for name in SCALP_ELECTRODES), heart]
    if montage == "linked ears":
        return [*((f"EEG {name.upper()}-LE", of[name] - ears["A1"]) for name in SCALP_ELECTRODES), heart]
    if montage == "ears":
        sides = {name: "A1" if name[-1] in "13579z" else "A2" for name in SCALP_ELECTRODES}
        return [*((f"{name}-{ear}", of[name] - ears[ear]) for name, ear in sides.items()), heart]
    if montage == "Cz":
        return [(f"EEG {name}-Cz", of[name] - of["Cz"]) for name in SCALP_ELECTRODES if name != "Cz"]
    if montage == "other names":
        found = [(f"{_NEW_NAMES.get(name, name).lower()}..", of[name]) for name in SCALP_ELECTRODES]
        found += [(f"DC{number:02d}", rng.integers(-900, 900, len(values))) for number in range(40)]
        return [found[k] for k in rng.permutation(len(found))]
    banana = [(f"{first}-{second}", of[first] - of[second]) for first, second in LONGITUDINAL_PAIRS]
    if montage == "double banana":
        return banana
    assert montage == "untidy banana"
    untidy = [("-".join(reversed(label.split("-"))), -row) if k % 3 == 0 else (label, row)
              for k, (label, row) in enumerate(banana)]  # fmt: skip
    return [untidy[5], *(untidy[k] for k in rng.permutation(16)), untidy[7], ("ECG", of["EKG"])]


def write_edf(path: Path, parts: Channels, rate: int = 200, unit: str = "uV") -> Path:
    """Write channels of 200 Hz at another rate and in another unit."""
    factor = UNITS[unit]
    signals = []
    for label, row in parts:
        values = row * STEP
        if rate != 200:
            values = signal.resample_poly(values, rate, 200, padtype="line")
        signals.append(
            edfio.EdfSignal(
                np.clip(values, -_LIMIT, _LIMIT) * factor,
                rate,
                label=label,
                physical_dimension=unit,
                physical_range=(-_LIMIT * factor, _LIMIT * factor),
                digital_range=(-32_000, 32_000),
            )
        )
    edfio.Edf(signals, data_record_duration=1).write(path)
    return path


def write_parquet(path: Path, values: np.ndarray) -> Path:
    write_eeg(path, (values * STEP).astype(np.float32))
    return path


def all_forms(folder: Path, values: np.ndarray, montages: Sequence[str] = MONTAGES) -> dict[str, Path]:
    """The recording as Parquet, and as EDF in every montage, rate and unit; names of the forms -> files."""
    found = {"Parquet": write_parquet(folder / "same.parquet", values)}
    for number, montage in enumerate(montages):
        found[montage] = write_edf(folder / f"montage-{number}.edf", channels(values, montage))
    for rate in RATES[1:]:
        found[f"{rate} Hz"] = write_edf(folder / f"rate-{rate}.edf", channels(values, "REF"), rate)
    for unit in list(UNITS)[1:]:
        found[unit] = write_edf(folder / f"unit-{unit}.edf", channels(values, "REF"), unit=unit)
    return found
