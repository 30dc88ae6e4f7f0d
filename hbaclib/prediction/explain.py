"""Which regions, times and frequencies of 50 s decided: parts of what the networks see are hidden, one by one.

A part is what one region has in some seconds and in one band. Hidden means quiet: in an image as dark as its quietest
tenth at that frequency, in a signal without what it has in the band. What a class loses then, it owed to that part.
Nothing is asked of the networks' insides, so that every one of them, and an ensemble as a whole, can be explained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hbaclib.conventions import CHAINS, CLASSES, EEG_RATE, EEG_WINDOW, RAW_PAIRS, REGIONS
from hbaclib.errors import ConfigError, DataError
from hbaclib.inputs.store import IMAGE_KINDS
from hbaclib.prediction.ensemble_predictor import EnsemblePredictor, prepare, window_doubt

BANDS: Final = (0.0, 2.0, 4.0, 8.0, 20.0)
"""Hz: edges of the bands; images reach to 20 Hz."""
SECONDS: Final = 5.0
"""Of a part."""
LEFT: Final = tuple(REGIONS.index(name) for name in ("LL", "LP"))
RIGHT: Final = tuple(REGIONS.index(name) for name in ("RL", "RP"))
_TIMES = round(EEG_WINDOW / EEG_RATE / SECONDS)
_QUIET = 10
_LEAST = 1e-6
_CHUNK = 40
_SIGNALS_OF_REGION = tuple(
    [k for k, pair in enumerate(RAW_PAIRS) if set(pair) <= set(CHAINS[name])] for name in REGIONS
)


@dataclass(frozen=True)
class Explanation:
    """What decided in one EEG.

    Attributes:
        label: the class that is explained.
        share: what it was given.
        values: (4, bands, times) by how much the logarithm of its share falls when a part is hidden; below 0 where the
            part spoke against it. Regions as REGIONS, bands between the edges of ``bands``.
        bands: edges, Hz.
        times: edges, seconds from the beginning of the EEG.
    """

    label: str
    share: float
    values: np.ndarray
    bands: tuple[float, ...]
    times: tuple[float, ...]

    @property
    def regions(self) -> dict[str, float]:
        """Share of what spoke for the class by region; all 0 where nothing did."""
        found = np.clip(self.values, 0, None).sum(axis=(1, 2))
        return dict(zip(REGIONS, map(float, found / found.sum() if found.any() else found), strict=True))

    @property
    def left(self) -> float:
        """Share of what spoke for the class that lies on the left, 0..1; NaN where nothing did."""
        regions = list(self.regions.values())
        return float(sum(regions[k] for k in LEFT)) if any(regions) else float("nan")


def explain(artefacts: str | Path, eeg: np.ndarray, *, label: str | None = None) -> list[Explanation]:
    """Explain what networks say of the EEG.

    Args:
        artefacts: as in `hbaclib.predict`; networks that see the ten-minute spectrogram do not take part.
        eeg: (n, 10000, 20) µV, columns as EEG_COLUMNS, NaN allowed; or (n, 10000, 24) differences.
        label: the class that is explained; None: that with the largest share of each.

    Returns:
        One explanation an EEG.

    Raises:
        DataError: a shape is not as promised, an EEG makes no sense, or no network sees the EEG alone.
        ConfigError: there is no such class.
        ArtefactError: the folder holds nothing that can predict.
    """
    if label is not None and label not in CLASSES:
        raise ConfigError(f"label = {label!r}; expected one of {', '.join(CLASSES)}")
    eeg = np.asarray(eeg)
    if eeg.ndim != 3 or eeg.shape[1] != EEG_WINDOW:
        raise DataError(f"eeg has shape {eeg.shape}; expected (n, {EEG_WINDOW}, 20) or (n, {EEG_WINDOW}, 24)")
    for number, one in enumerate(eeg):
        if reason := window_doubt(one, None):
            raise DataError(f"EEG {number} cannot be explained: {reason}")
    predictor = EnsemblePredictor.open(artefacts, spectrograms=False)
    return [explain_window(predictor, one, label) for one in eeg]


def explain_window(predictor: EnsemblePredictor, eeg: np.ndarray, label: str | None = None) -> Explanation:
    """Explain one EEG (10000, 20) or (10000, 24) by networks that are loaded, none of which sees a spectrogram."""
    kinds = {kind for member in predictor.members.values() for kind in member.kinds}
    inputs = prepare(kinds, eeg[None], None)
    whole = _shares(predictor, inputs)[0]
    index = int(whole.argmax()) if label is None else CLASSES.index(label)
    shape = (len(REGIONS), len(BANDS) - 1, _TIMES)
    found = np.empty(int(np.prod(shape)))
    chunk: list[Mapping[str, np.ndarray]] = []
    done = 0
    for hidden in _hidden(inputs, shape):
        chunk.append(hidden)
        if len(chunk) == _CHUNK or done + len(chunk) == len(found):
            together = {kind: np.concatenate([each[kind] for each in chunk]) for kind in inputs}
            found[done : done + len(chunk)] = _shares(predictor, together)[:, index]
            done, chunk = done + len(chunk), []
    values = np.log(max(whole[index], _LEAST)) - np.log(np.maximum(found, _LEAST))
    times = tuple(SECONDS * k for k in range(_TIMES + 1))
    return Explanation(CLASSES[index], float(whole[index]), values.reshape(shape), BANDS, times)


def _shares(predictor: EnsemblePredictor, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    return predictor.pool({name: member.predict(inputs) for name, member in predictor.members.items()})


def _hidden(inputs: Mapping[str, np.ndarray], shape: tuple[int, int, int]) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of one EEG with one part after the other hidden."""
    quiet = {kind: _quiet(values) for kind, values in inputs.items()}
    for region, band, time in np.ndindex(*shape):
        hidden = {}
        for kind, values in inputs.items():
            hidden[kind] = values.copy()
            where = _images(values, region, band, time) if kind in IMAGE_KINDS else _signals(values, region, time)
            hidden[kind][where] = (quiet[kind] if kind in IMAGE_KINDS else quiet[kind][band])[where]
        yield hidden


def _quiet(values: np.ndarray) -> np.ndarray:
    """What hidden parts are filled with: an image of its quietest tenth, or the signals without each band."""
    if values.ndim == 4:
        level = np.percentile(values, _QUIET, axis=(2, 3), keepdims=True)
        return np.broadcast_to(level.astype(values.dtype), values.shape)
    n_samples = values.shape[1]
    rate = n_samples / (EEG_WINDOW / EEG_RATE)
    waves, frequencies = np.fft.rfft(values, axis=1), np.fft.rfftfreq(n_samples, 1 / rate)
    without = []
    for k in range(len(BANDS) - 1):
        last = np.inf if k == len(BANDS) - 2 else BANDS[k + 1]
        outside = (frequencies < BANDS[k]) | (frequencies >= last)
        without.append(np.fft.irfft(waves * outside[:, None], n_samples, axis=1).astype(values.dtype))
    return np.stack(without)


def _images(values: np.ndarray, region: int, band: int, time: int) -> tuple[slice | int, ...]:
    """The part of an image; those of the EEG are the last four planes."""
    rows, frames = values.shape[1:3]
    first, last = (round(edge / BANDS[-1] * rows) for edge in BANDS[band : band + 2])
    begin, end = (round(k * frames / _TIMES) for k in (time, time + 1))
    return slice(None), slice(first, last), slice(begin, end), values.shape[3] - len(REGIONS) + region


def _signals(values: np.ndarray, region: int, time: int) -> tuple[slice | list[int], ...]:
    begin, end = (round(k * values.shape[1] / _TIMES) for k in (time, time + 1))
    return slice(None), slice(begin, end), _SIGNALS_OF_REGION[region]
