"""Synthetic nights: hours of one patient as EDF+, with known truth, made piece by piece."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm.auto import tqdm

from hbaclib.artefacts import atomic_path
from hbaclib.conventions import EEG_COLUMNS, EEG_RATE, PATTERNS, SCALP_ELECTRODES
from hbaclib.dataset.synthetic.artefact_noise import (
    add_common,
    add_electrode_faults,
    add_eyes,
    add_heart,
    add_mimic,
    add_muscle,
)
from hbaclib.dataset.synthetic.background import background, draw_traits
from hbaclib.dataset.synthetic.draws import log_uniform, slow_noise
from hbaclib.dataset.synthetic.edf import EdfWriter
from hbaclib.dataset.synthetic.night_plan import GAP, MIMIC, OFF, TRUTH_COLUMNS, Event, NightPlan, plan_night
from hbaclib.dataset.synthetic.patterns import draw_pattern
from hbaclib.dataset.synthetic.waveforms import pattern_signal
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.outputs import claim, refuse_inside_stage, without_new_folders

BEGIN = datetime(2026, 1, 1, 22, 0, 0)
LABELS = tuple("ECG EKG" if name == "EKG" else f"EEG {name}-REF" for name in EEG_COLUMNS)
LONGEST_HOURS = 7 * 24
_PIECE, _FADE = 600, 5
"""Seconds that are made at a time, and in which one piece goes over into the next."""
_NIGHT, _PLAN, _PATIENT, _PIECES, _EPISODES = 19_900_102, 0, 1, 2, 3


def make_night(
    path: str | Path, hours: float = 8.0, seed: int = 0, *, n_gaps: int = 2, progress: bool = True
) -> tuple[Path, Path]:
    """Make a night as EDF+ whose truth is known.

    It has the 19 electrodes against one reference and an EKG, 200 samples a second. Patterns of all classes come and
    go, artefacts burst in, electrodes fall off, the recording is interrupted. The same arguments give the same bytes.

    Args:
        path: the EDF file.
        hours: its length by the clock, at least 0.1.
        seed: seed of everything.
        n_gaps: interruptions of 5 to 600 s.
        progress: show a bar.

    Returns:
        The file, and the table of the truth beside it, a CSV file with a row for every event: ``onset`` and
        ``duration`` in seconds from the first sample on, gaps included; ``class``, or "artefact" (swings that hide
        everything), "mimic" (an artefact like a pattern), "gap", "off T3" (an electrode). Where no pattern is, the
        class is Other.

    Raises:
        ConfigError: no such night can be made.
        ArtefactError: another file lies there, or it cannot be written.
    """
    bounds = (("hours", hours, 0.1, LONGEST_HOURS), ("n_gaps", n_gaps, 0, 100), ("seed", seed, 0, np.inf))
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise ConfigError(f"{name} = {value!r}; expected {least} to {most:g}")
    path = Path(path)
    truth = path.with_name(f"{path.stem}-truth.csv")
    refuse_inside_stage(path)
    for place in (path, truth):
        if os.path.lexists(place):
            raise ArtefactError(f"{place}: exists; name another file, or delete it")
    plan = plan_night(hours, n_gaps, np.random.default_rng([_NIGHT, _PLAN, seed]))
    with without_new_folders(path.parent), claim(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(truth) as table, atomic_path(path) as partial:
            with open(table, "w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(TRUTH_COLUMNS)
                rows.writerows((f"{event.onset:.2f}", f"{event.duration:.2f}", event.kind) for event in plan.events)
            with open(partial, "wb") as file_of_records:
                _write(file_of_records, plan, seed, progress)
    return path, truth


def _write(file: BinaryIO, plan: NightPlan, seed: int, progress: bool) -> None:
    onsets = plan.record_onsets()
    writer = EdfWriter(file, LABELS, EEG_RATE, BEGIN, len(onsets), gaps=bool(plan.of(GAP)))
    made = _Pieces(plan, seed).signals()
    held, begin = np.empty((0, len(EEG_COLUMNS)), np.float32), 0
    bar = tqdm(onsets, "writing", unit="s", disable=None if progress else True)
    for onset in bar:
        first = round(onset * EEG_RATE)
        while begin + len(held) < first + EEG_RATE:
            done = min(first - begin, len(held))
            held, begin = np.concatenate([held[done:], next(made)]), begin + done
        writer.write(float(onset), held[first - begin : first - begin + EEG_RATE])


class _Pieces:
    """The signals of a night, from its begin to its end, as (n, 20) µV after one another."""

    def __init__(self, plan: NightPlan, seed: int) -> None:
        self._plan, self._seed = plan, seed
        self._traits = replace(draw_traits(self._rng(_PATIENT)), burst_suppression=False)
        self._waves: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def signals(self) -> Iterator[np.ndarray]:
        """Pieces that go over into each other."""
        fade = _FADE * EEG_RATE
        rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))[:, None]
        tail = np.zeros((fade, len(EEG_COLUMNS)), np.float32)
        n_pieces = -(-self._plan.seconds // _PIECE)
        for number in range(n_pieces):
            piece = self._background(number)
            # Independent activities add by their power.
            head = piece[:fade] * rise + tail * rise[::-1] if number else piece[:fade]
            whole = np.concatenate([head, piece[fade : _PIECE * EEG_RATE]])
            tail = piece[_PIECE * EEG_RATE :]
            self._add_events(whole, number)
            yield whole
        yield tail

    def _rng(self, *what: int) -> np.random.Generator:
        return np.random.default_rng([_NIGHT, *what, self._seed])

    def _background(self, number: int) -> np.ndarray:
        rng = self._rng(_PIECES, number)
        eeg = background(self._traits, (_PIECE + _FADE) * EEG_RATE, rng)
        add_eyes(eeg, rng)
        add_muscle(eeg, rng)
        ekg = add_heart(eeg, self._traits, rng)
        add_electrode_faults(eeg, rng)
        add_common(eeg, rng)
        return np.vstack([eeg, ekg]).T.astype(np.float32)

    def _add_events(self, piece: np.ndarray, number: int) -> None:
        """Put in place what happens in a piece, in whole or in part."""
        first = number * _PIECE * EEG_RATE
        begin, end = number * _PIECE, (number + 1) * _PIECE
        for index, event in enumerate(self._plan.events):
            if event.kind in PATTERNS and event.onset - 3 < end and event.end + 3 > begin:
                wave, gain = self._wave(index, event)
                at = round((event.onset - 2) * EEG_RATE) - first
                place, part = _overlap(at, wave.shape[1], len(piece))
                piece[place, : len(SCALP_ELECTRODES)] *= gain[part, None]
                piece[place, : len(SCALP_ELECTRODES)] += wave[:, part].T
                if event.end + 3 <= end:
                    self._waves.pop(index, None)
        for index, event in enumerate(self._plan.events):
            if event.kind in (*PATTERNS, GAP) or event.onset >= end or event.end <= begin:
                continue
            # The event's own signal, the same in every piece that it lies in.
            signal = self._artefact(event, self._rng(_EPISODES, index))
            place, part = _overlap(round((event.onset - begin) * EEG_RATE), signal.shape[1], len(piece))
            if len(signal) > 1:
                piece[place, : len(signal)] += signal[:, part].T
            else:
                piece[place, EEG_COLUMNS.index(event.kind.split(" ")[1])] = signal[0, part]

    def _artefact(self, event: Event, rng: np.random.Generator) -> np.ndarray:
        """Signal (19, n) µV that an artefact adds, or (1, n) what an electrode shows that is off."""
        n_samples, n_electrodes = round(event.duration * EEG_RATE), len(SCALP_ELECTRODES)
        seconds = np.arange(n_samples) / EEG_RATE
        if event.kind.startswith(OFF):  # without contact it picks up mains and drifts
            mains = log_uniform(rng, 200, 2000) * np.sin(2 * np.pi * 60.0 * seconds + rng.uniform(0, 6))
            drift = log_uniform(rng, 100, 800) * slow_noise(rng, 1, n_samples, 1.0)
            return (mains + drift).astype(np.float32)
        signal = np.zeros((n_electrodes, n_samples), np.float32)
        if event.kind == MIMIC:
            add_mimic(signal, event.duration / 2, self._traits.bipolar_sd, rng)
            return signal
        edge = np.clip(np.minimum(seconds, seconds[::-1]), 0, 1).astype(np.float32)
        size = log_uniform(rng, 400, 4000) * rng.uniform(0.3, 1.2, (n_electrodes, 1)).astype(np.float32)
        return size * slow_noise(rng, n_electrodes, n_samples, rng.uniform(0.05, 0.4)) * edge

    def _wave(self, index: int, event: Event) -> tuple[np.ndarray, np.ndarray]:
        """Signal (19, n) of a pattern, which begins 2 s before its onset, and the background's gain (n,)."""
        if index not in self._waves:
            middle = event.duration / 2
            pattern = draw_pattern(event.kind, 2 + middle, self._rng(_EPISODES, index), difficulty=0.0)
            pattern = replace(pattern, start=2.0, end=2.0 + event.duration)
            n_samples = round((event.duration + 4) * EEG_RATE)
            stretch, wave, gain = pattern_signal(pattern, n_samples, self._traits.bipolar_sd)
            full, level = np.zeros((len(wave), n_samples), np.float32), np.ones(n_samples, np.float32)
            full[:, stretch], level[stretch] = wave, gain
            self._waves[index] = full, level
        return self._waves[index]


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Where something that starts at a sample lies in a piece of so many, and which part of it that is."""
    first, last = max(start, 0), min(start + length, size)
    last = max(first, last)
    return slice(first, last), slice(first - start, last - start)
