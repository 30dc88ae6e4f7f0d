"""The parquet files of one patient: EEGs with missing samples, spectrograms, rows of the tables, truth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from hbaclib.conventions import CLASSES, EEG_COLUMNS, EEG_RATE, SPECTROGRAM_COLUMNS, SPECTROGRAM_STEP, VOTE_COLUMNS
from hbaclib.dataset.synthetic.background import Traits, draw_traits
from hbaclib.dataset.synthetic.plan import EEG_LEAD, EegPlan, PatientPlan, RecordingPlan
from hbaclib.dataset.synthetic.recording import Scene, draw_scenes, render
from hbaclib.dataset.synthetic.votes import draw_votes, expected_votes
from hbaclib.signal.multitaper import kaggle_spectrogram

_OF_THE_PATTERN = ("drift", "growth", "variation", "ratio", "asymmetry", "suppression")
_MISSING = (18, 5197)
"""Shortest and longest block of missing samples."""


Rows = dict[str, list[dict[str, Any]]]
"""What a patient adds to the tables ``train``, ``test`` and ``truth``."""


def _columns(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(column) for name, column in zip(names, values.T, strict=True)}


def _write(path: Path, columns: dict[str, np.ndarray]) -> None:
    floats = [name for name, values in columns.items() if values.dtype == np.float32]
    # Fixed options and no metadata of ours: equal arrays give equal bytes.
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False, use_byte_stream_split=floats)


def lose_samples(eeg: np.ndarray, fault: str, rng: np.random.Generator) -> None:
    """Put NaN into an EEG file (n, 20) in place, as the acquisition does: blocks at an end, or scattered samples."""
    length = int(np.exp(rng.uniform(*np.log(_MISSING))))
    if fault == "begin":
        eeg[:length] = np.nan
    elif fault == "end":
        eeg[-length:] = np.nan
    elif fault == "scattered":
        eeg[rng.integers(0, len(eeg), int(rng.integers(3, 40))), rng.integers(0, 20)] = np.nan


def write_patient(plan: PatientPlan, folder: Path, difficulty: float, spectrograms: Collection[str]) -> Rows:
    """Make and write all files of one patient.

    Args:
        plan: the patient.
        folder: the set's folder, with its sub-folders.
        difficulty: see ``make_synthetic_dataset``.
        spectrograms: the splits of which the 10-minute files are written, ``train`` and ``test``.
    """
    rows: Rows = {"train": [], "test": [], "truth": []}
    trait_seed, *seeds = plan.seed.spawn(1 + len(plan.recordings))
    traits = draw_traits(np.random.default_rng(trait_seed))
    # The bits of a matrix product depend on the number of threads.
    with threadpool_limits(limits=1):
        for recording, seed in zip(plan.recordings, seeds, strict=True):
            scene_seed, signal_seed, vote_seed = seed.spawn(3)
            scenes = draw_scenes(recording, np.random.default_rng(scene_seed), difficulty)
            rng = np.random.default_rng(signal_seed)
            signal = render(scenes, traits, recording.seconds * EEG_RATE, rng)
            _write_recording(recording, signal, folder, spectrograms, rng)
            vote_rng = np.random.default_rng(vote_seed)
            for eeg, scene in zip(recording.eegs, scenes, strict=True):
                _add_rows(rows, recording, eeg, scene, traits, vote_rng)
    return rows


def _write_recording(
    recording: RecordingPlan, signal: np.ndarray, folder: Path, spectrograms: Collection[str], rng: np.random.Generator
) -> None:
    split = recording.split
    for eeg in recording.eegs:
        first = (eeg.start + EEG_LEAD) * EEG_RATE
        part = signal[first : first + eeg.seconds * EEG_RATE]
        lose_samples(part, eeg.fault, rng)
        _write(folder / f"{split}_eegs" / f"{eeg.eeg_id}.parquet", _columns(part, EEG_COLUMNS))
    if rng.random() < 0.05:  # the amplifier's data were lost for a while, far from the labelled windows
        first = int(rng.uniform(0, 120) * EEG_RATE)
        signal[first : first + int(rng.uniform(5, 120) * EEG_RATE)] = np.nan
    if split in spectrograms:
        n_rows = recording.seconds // SPECTROGRAM_STEP
        time = (np.arange(n_rows) * SPECTROGRAM_STEP + 1).astype(np.int64 if split == "train" else np.int16)
        # As in the competition's files: what a gap touches is missing.
        power = np.round(kaggle_spectrogram(signal, flat="public")[:n_rows], 2)
        columns = {"time": time} | _columns(power, SPECTROGRAM_COLUMNS)
        _write(folder / f"{split}_spectrograms" / f"{recording.spectrogram_id}.parquet", columns)


def _add_rows(
    rows: Rows, recording: RecordingPlan, eeg: EegPlan, scene: Scene, traits: Traits, rng: np.random.Generator
) -> None:
    centres = [eeg.start + offset + EEG_LEAD + 25.0 for offset in eeg.offsets]
    drawn = []
    for group, annotators in enumerate(eeg.annotators):
        members = [row for row, number in enumerate(eeg.row_groups) if number == group]
        expected = expected_votes(scene.probability(centres[members[(len(members) - 1) // 2]]), annotators)
        drawn.append((annotators, expected, *draw_votes(expected, annotators, rng)))
    main = scene.patterns[0] if scene.patterns else None
    for row, offset in enumerate(eeg.offsets):
        annotators, expected, votes, readers = drawn[eeg.row_groups[row]]
        rows[recording.split].append(
            {
                "eeg_id": eeg.eeg_id,
                "eeg_sub_id": row,
                "eeg_label_offset_seconds": float(offset),
                "spectrogram_id": recording.spectrogram_id,
                "spectrogram_sub_id": row,
                "spectrogram_label_offset_seconds": float(eeg.start + offset),
                "label_id": eeg.label_ids[row],
                "patient_id": recording.patient_id,
                "expert_consensus": CLASSES[int(np.argmax(votes))],  # the first of equals
                **dict(zip(VOTE_COLUMNS, votes.tolist(), strict=True)),
            }
        )
        rows["truth"].append(
            {
                "split": recording.split,
                "eeg_id": eeg.eeg_id,
                "eeg_start": offset * EEG_RATE,
                "patient_id": recording.patient_id,
                "annotators": annotators,
                "vote_group": eeg.row_groups[row],
                "meant": scene.meant,
                "most_likely": CLASSES[int(np.argmax(expected))],
                **{f"{name}_expected": float(value) for name, value in zip(VOTE_COLUMNS, expected, strict=True)},
                **{f"{name}_readers": float(value) for name, value in zip(VOTE_COLUMNS, readers, strict=True)},
                **dict(zip(VOTE_COLUMNS, votes.tolist(), strict=True)),
                "n_patterns": len(scene.patterns),
                "form": main.form if main else "",
                "pattern_start": main.start - centres[row] + 25 if main else np.nan,
                "pattern_end": main.end - centres[row] + 25 if main else np.nan,
                "rate": float(main.rate_at(centres[row])) if main else np.nan,
                **{name: getattr(main, name, np.nan) for name in _OF_THE_PATTERN},
                "background_sd": traits.bipolar_sd,
                "artefact": scene.artefact,
                "fault": eeg.fault,
            }
        )
