"""From windows of any recording to shares: `predict`, submissions and ``hbac predict`` all come through here.

The inputs are prepared once a chunk and pass through all folds, seeds and views of all members.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hbaclib.conventions import (
    CLASSES,
    EEG_COLUMNS,
    EEG_RATE,
    EEG_WINDOW,
    MANY_VOTES,
    SPECTROGRAM_COLUMNS,
    SPECTROGRAM_WINDOW,
    VOTE_COLUMNS,
)
from hbaclib.ensemble.store import StoredEnsemble, open_members
from hbaclib.errors import DataError, list_some
from hbaclib.evaluation.doubt import member_spread
from hbaclib.inputs.store import IMAGE_KINDS
from hbaclib.prediction.mne_raw import is_raw, open_raw, raw_windows
from hbaclib.prediction.predictor import Predictor, sees_spectrograms
from hbaclib.prediction.windows import Window
from hbaclib.recordings.base import BaseRecording
from hbaclib.signal.differences import DIFFERENCES, is_differences
from hbaclib.signal.images import on_common_scale, region_scales, spectrogram_image, starter_layout
from hbaclib.signal.mel import absolute_spectrogram, eeg_spectrogram
from hbaclib.signal.plausibility import eeg_doubt, spectrogram_doubt
from hbaclib.signal.raw import raw_signals, signals_200hz
from hbaclib.signal.short import LEAST_SAMPLES, WAYS, check_how, place_short, recorded_part
from hbaclib.stages.shipped import EEG_ALONE, damage_told, is_shipped
from hbaclib.training.trained_folder import TrainedFolder

NO_ANSWER = "the networks' answer is NaN or infinite"
_CHUNK = 128
_Maker = Callable[..., np.ndarray]


class Judged(NamedTuple):
    """Shares of windows, and what is to be known of them.

    Attributes:
        shares: (n, 6) float32, NaN in the rows that are not evaluated.
        reasons: why they are not; "" of the others.
        spread: (n,) how far the members disagree, see `hbaclib.evaluation.doubt.member_spread`; NaN as the shares.
    """

    shares: np.ndarray
    reasons: list[str]
    spread: np.ndarray


@dataclass
class EnsemblePredictor:
    """Networks that predict as one: those of an ensemble, or of one trained folder.

    Attributes:
        folders: name -> trained folder of what can serve, the most important first.
        members: name -> networks, of those that are loaded.
        ensemble: how members are pooled; None for one trained folder.
    """

    folders: Mapping[str, Path]
    members: dict[str, Predictor]
    ensemble: StoredEnsemble | None = None

    @classmethod
    def open(
        cls,
        artefacts: str | Path,
        search: Iterable[str | Path] = (),
        *,
        spectrograms: bool = True,
        enough: Callable[[], bool] = lambda: False,
    ) -> EnsemblePredictor:
        """Load the networks of an ensemble's or a trained folder.

        Args:
            artefacts: the folder, or the name of a shipped model.
            search: further folders below which the ensemble's networks may lie.
            spectrograms: False leaves out networks that see the ten-minute spectrogram.
            enough: asked before every network but the first: True leaves out this and all less important ones.

        Raises:
            DataError: without spectrograms no network can serve.
            ArtefactError, ConfigError: as `hbaclib.ensemble.store.open_members` and `Predictor.load` say.
        """
        ensemble, folders = open_members(artefacts, search)
        with damage_told(artefacts):
            serving = {
                name: folder
                for name, folder in folders.items()
                if spectrograms or not sees_spectrograms(TrainedFolder.open(folder).recipe)
            }
        if not serving:
            raise DataError(
                f"{artefacts}: {list_some(folders)} see Kaggle spectrograms; expected networks of the EEG alone "
                "(inputs = 'eeg'), or spectrograms"
            )
        members: dict[str, Predictor] = {}
        for name, folder in serving.items():
            if members and enough():
                break
            with damage_told(artefacts):
                members[name] = Predictor.load(folder)
        return cls(serving, members, ensemble)

    @property
    def sees_spectrograms(self) -> bool:
        """Whether a member sees the ten-minute spectrogram."""
        return any(sees_spectrograms(member.recipe) for member in self.members.values())

    def without_views(self) -> dict[str, int]:
        """Let all members predict from the plain view alone; name -> further views, of those that had any."""
        had = {name: len(member.recipe.tta) for name, member in self.members.items() if member.recipe.tta}
        for name in had:
            member = self.members[name]
            self.members[name] = replace(member, recipe=member.recipe.override({"tta": []}))
        return had

    @property
    def prior(self) -> np.ndarray:
        """(6,) class means of the rows with many votes that the networks were scored on: the guess without an EEG."""
        if self.ensemble is not None:
            return self.ensemble.prior
        trained = TrainedFolder.open(next(iter(self.folders.values())))
        table = trained.oof()
        many = table["n_votes"] >= MANY_VOTES
        means = table.loc[many if many.any() else slice(None), list(VOTE_COLUMNS)].to_numpy(np.float64).mean(axis=0)
        return means / means.sum()

    def shares(self, eeg: np.ndarray, spectrogram: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
        """Name and (n, 6) shares of one member after the other, the most important first.

        Args:
            eeg: (n, 10000, 20) µV, or (n, 10000, 24) differences of electrodes.
            spectrogram: (n, 300, 400) µV²/Hz; None where no member sees them.
        """
        kinds = {kind for member in self.members.values() for kind in member.kinds}
        inputs = prepare(kinds, eeg, spectrogram)
        for name, member in self.members.items():
            yield name, member.predict(inputs)

    def pool(self, shares: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n, 6) shares of all from those of some members; NaN in the rows in which one of them answers NaN."""
        if self.ensemble is None:
            return next(iter(shares.values()))
        stacked = np.stack(list(shares.values()))
        known = np.isfinite(stacked).all(axis=(0, 2))
        pooled = np.full(stacked.shape[1:], np.nan)
        if known.any():
            pooled[known] = self.ensemble.predict(stacked[:, known], list(shares))
        return pooled

    def evaluate(
        self, eeg: np.ndarray, spectrogram: np.ndarray | None = None, recorded: Sequence[int] | None = None
    ) -> tuple[np.ndarray, list[str]]:
        """Predict the windows that make sense, and say of the others why they have no shares.

        Args:
            eeg: as for `shares`.
            spectrogram: as for `shares`; not looked at where no member sees it.
            recorded: samples in the middle of each window that the recording has (see `place_short`), by which it is
                judged; None: all.

        Returns:
            (n, 6) float32 shares whose rows sum to 1, or are NaN; and for each row "" or the reason. The networks are
            not asked about what makes no sense.
        """
        return self.judge(eeg, spectrogram, recorded)[:2]

    def judge(
        self, eeg: np.ndarray, spectrogram: np.ndarray | None = None, recorded: Sequence[int] | None = None
    ) -> Judged:
        """As `evaluate`, and how far the members disagree; no network is asked twice."""
        seen = spectrogram if self.sees_spectrograms else None
        found = np.full((len(eeg), len(CLASSES)), np.nan, np.float32)
        spread, reasons = np.full(len(eeg), np.nan), list[str]()
        for start in range(0, len(eeg), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(eeg)))
            for row in rows:
                own = eeg[row] if recorded is None else recorded_part(eeg[row], recorded[row])
                reasons.append(window_doubt(own, None if seen is None else seen[row]))
            sound = [row for row in rows if not reasons[row]]
            # A slice costs no copy.
            chosen = slice(rows.start, rows.stop) if len(sound) == len(rows) else sound
            if sound:
                found[chosen], spread[chosen] = self._pooled(eeg[chosen], None if seen is None else seen[chosen])
        for number in np.flatnonzero(~np.isfinite(found).all(axis=1)):
            found[number] = spread[number] = np.nan
            reasons[number] = reasons[number] or NO_ANSWER
        return Judged(found, reasons, spread)

    def evaluate_windows(self, windows: Sequence[Window]) -> tuple[np.ndarray, list[str]]:
        """As `evaluate`, of windows that were cut, of electrodes and of differences.

        Returns:
            Shares, NaN in the rows that are not evaluated; and for each row the reason, or what is to be known of it.
        """
        found = np.full((len(windows), len(CLASSES)), np.nan, np.float32)
        reasons = [window.fault for window in windows]
        for width in {window.eeg.shape[-1] for window in windows}:
            rows = [row for row, one in enumerate(windows) if not one.fault and one.eeg.shape[-1] == width]
            if not rows:
                continue
            own = [windows[row] for row in rows]
            power = [window.spectrogram for window in own if window.spectrogram is not None]
            found[rows], why = self.evaluate(
                np.stack([window.eeg for window in own]),
                np.stack(power) if power else None,
                [window.recorded for window in own],
            )
            for row, reason in zip(rows, why, strict=True):
                reasons[row] = reason or windows[row].told
        return found, reasons

    def predict(self, eeg: np.ndarray, spectrogram: np.ndarray | None = None) -> np.ndarray:
        """(n, 6) float32 shares of any windows, whether they make sense or not; arguments as for `shares`.

        The rows sum to 1. NaN are those that a network has no answer to that is one.
        """
        found = [np.zeros((0, len(CLASSES)), np.float32)]
        for start in range(0, len(eeg), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            found.append(self._pooled(eeg[chunk], None if spectrogram is None else spectrogram[chunk])[0])
        return np.concatenate(found)

    def _pooled(self, eeg: np.ndarray, spectrogram: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """(n, 6) float32 shares of all members, and (n,) how far these disagree."""
        shares = dict(self.shares(eeg, spectrogram))
        return self.pool(shares).astype(np.float32), member_spread(np.stack(list(shares.values())))


def predict(
    artefacts: str | Path, eeg: np.ndarray | Any, spectrogram: np.ndarray | None = None, *, short: str | None = None
) -> np.ndarray:
    """Predict with the built-in model, one trained folder or an ensemble's folder.

    Args:
        artefacts: a folder that `hbaclib.training.cross_validate.train` or the ensemble stage wrote; or ``synthetic``,
            the model that the package ships, trained on synthetic EEG alone. The name, as a text, is always that model:
            a folder called so is ``./synthetic``, its whole path, or a `Path`.
        eeg: (n, 10000, 20) µV, columns as EEG_COLUMNS, NaN allowed; or (n, 10000, 24), the differences that
            `hbaclib.to_differences` gives. Or an `mne.io.Raw`: row k is then the 50 s from second 10 k on, and the ten
            minutes are computed where networks see them.
        spectrogram: (n, 300, 400) µV²/Hz, columns as SPECTROGRAM_COLUMNS, NaN allowed; without it only members that see
            the EEG alone can serve. The built-in model takes none.
        short: ``nan`` or ``reflect``: ``eeg`` may have 2,000 to 10,000 samples (10 to 50 s) and is placed in the middle
            of 50 s as `hbaclib.place_short` does it. Whether it makes sense is judged by what was recorded.

    Returns:
        (n, 6) float32, columns as CLASSES, rows sum to 1. A window that makes no sense (see
        `hbaclib.signal.plausibility`), or of a Raw one with a gap, has a row of NaN; one warning names all of them,
        with the reasons. Of a Raw another one says what is not used: channels, electrodes that are flat, clipped or
        off within a window, regions that stay empty.

    Raises:
        DataError: a shape is not as promised, no member can serve without spectrograms, or the built-in model is given
            some.
        ConfigError: there is no such way of placing a short EEG.
        DataFileError: a Raw is too short, or cannot be used.
        ArtefactError: the folder holds nothing that can predict, or the package's files are damaged.
    """
    if is_shipped(artefacts) and spectrogram is not None:
        raise DataError(f"{artefacts}: {EEG_ALONE}, and spectrograms were given; leave them out")
    if is_raw(eeg):
        if spectrogram is not None:
            raise DataError("spectrograms were given with an mne.io.Raw, from which they are computed; leave them out")
        with open_raw(eeg) as recording:
            shares, reasons = _of_raw(artefacts, recording, short)
            _warn_of(shares, reasons, recording.notes)
        return shares
    eeg, n_recorded = _checked_eeg(eeg, short)
    if spectrogram is not None:
        spectrogram = _checked(spectrogram, (SPECTROGRAM_WINDOW, len(SPECTROGRAM_COLUMNS)), "spectrogram")
        if len(spectrogram) != len(eeg):
            raise DataError(f"{len(eeg)} EEGs but {len(spectrogram)} spectrograms, expected as many")
    predictor = EnsemblePredictor.open(artefacts, spectrograms=spectrogram is not None)
    shares, reasons = predictor.evaluate(eeg, spectrogram, [n_recorded] * len(eeg))
    _warn_of(shares, reasons)
    return shares


def _warn_of(shares: np.ndarray, reasons: Sequence[str], notes: Sequence[str] = ()) -> None:
    """One warning of all rows that are not evaluated, one of what is to be known of the others and of all."""
    doubts, told = list[str](), list(notes)
    for row, (reason, known) in enumerate(zip(reasons, np.isfinite(shares).all(axis=1), strict=True)):
        if reason:
            (told if known else doubts).append(f"row {row}: {reason}")
    if doubts:
        warnings.warn(f"{len(doubts)} of {len(reasons)} windows not evaluated: {'; '.join(doubts[:8])}{_more(doubts)}",
                      stacklevel=3)  # fmt: skip
    if told:
        warnings.warn(f"{'; '.join(told[:8])}{_more(told)}", stacklevel=3)


def _of_raw(artefacts: str | Path, recording: BaseRecording, short: str | None) -> tuple[np.ndarray, list[str]]:
    """Shares and reasons, as `EnsemblePredictor.evaluate_windows` gives them, of an `mne.io.Raw`."""
    if short is not None:
        check_how(short)
    predictor = EnsemblePredictor.open(artefacts)
    wanted = predictor.sees_spectrograms
    found, reasons = [np.zeros((0, len(CLASSES)), np.float32)], list[str]()
    windows = raw_windows(recording, wanted, short)
    while chunk := list(islice(windows, _CHUNK)):
        shares = np.full((len(chunk), len(CLASSES)), np.nan, np.float32)
        told = ["a gap of more than a second lies in it"] * len(chunk)
        there = {row: window for row, window in enumerate(chunk) if window is not None}
        if there:
            shares[list(there)], why = predictor.evaluate_windows(list(there.values()))
            for row, reason in zip(there, why, strict=True):
                told[row] = reason
        found.append(shares)
        reasons += told
    return np.concatenate(found), reasons


def window_doubt(eeg: np.ndarray, spectrogram: np.ndarray | None = None) -> str:
    """Why networks cannot be asked about a window, "" where they can.

    Args:
        eeg: (10000, 20) µV, or (10000, 24) differences; or what of it was recorded.
        spectrogram: (300, 400) µV²/Hz; None where nobody sees it.
    """
    if reason := eeg_doubt(eeg):
        return reason
    reason = "" if spectrogram is None else spectrogram_doubt(spectrogram)
    return f"spectrogram: {reason}" if reason else ""


def prepare(kinds: set[str], eeg: np.ndarray, spectrogram: np.ndarray | None) -> dict[str, np.ndarray]:
    """Inputs of every kind that is asked for, from windows of EEG and spectrogram."""
    joined = {kind for kind in kinds if IMAGE_KINDS.get(kind, ("",))[0] == "both"}
    halves = {kind: [kind.replace("both", half) for half in ("kaggle", "eeg")] for kind in joined}
    wanted = kinds.union(*halves.values())
    of_eeg: dict[str, _Maker] = {
        "eeg": eeg_spectrogram,
        "eeg_absolute": absolute_spectrogram,
        "raw": raw_signals,
        "signals_200hz": signals_200hz,
    }
    of_spectrogram: dict[str, _Maker] = {
        "kaggle": spectrogram_image,
        "kaggle_absolute": lambda rows: on_common_scale(spectrogram_image(rows), region_scales(rows)),
        "starter": starter_layout,
    }
    prepared = {kind: np.asarray(make(eeg), np.float32) for kind, make in of_eeg.items() if kind in wanted}
    for kind in wanted & of_spectrogram.keys():
        assert spectrogram is not None
        prepared[kind] = np.stack([of_spectrogram[kind](rows) for rows in spectrogram])
    for kind, parts in halves.items():
        prepared[kind] = np.concatenate([prepared[part] for part in parts], axis=-1)
    return prepared


def _more(items: list[str], limit: int = 8) -> str:
    return f"; and {len(items) - limit} more" if len(items) > limit else ""


def _checked_eeg(eeg: np.ndarray, short: str | None) -> tuple[np.ndarray, int]:
    """(n, 10000, 20), short recordings placed in it, and how many samples of each were recorded."""
    if short is not None:
        check_how(short)
    values = np.asarray(eeg)
    n_samples = values.shape[1] if values.ndim == 3 else 0
    width = len(DIFFERENCES) if values.ndim == 3 and is_differences(values) else len(EEG_COLUMNS)
    if not LEAST_SAMPLES <= n_samples < EEG_WINDOW:
        return _checked(values, (EEG_WINDOW, width), "eeg"), EEG_WINDOW
    if short is None:
        raise DataError(
            f"eeg has shape {values.shape}, expected (n, {EEG_WINDOW}, {len(EEG_COLUMNS)}); EEGs of "
            f"{LEAST_SAMPLES // EEG_RATE} to {EEG_WINDOW // EEG_RATE} s: short = {' or '.join(map(repr, WAYS))}"
        )
    values = _checked(values, (n_samples, width), "eeg")
    return place_short(values.astype(np.float32, copy=False), short), n_samples


def _checked(values: np.ndarray, shape: tuple[int, int], what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{what} of type {values.dtype}, expected floating-point numbers")
    if values.ndim != 3 or values.shape[1:] != shape:
        raise DataError(f"{what} has shape {values.shape}, expected (n, {shape[0]}, {shape[1]})")
    return values
