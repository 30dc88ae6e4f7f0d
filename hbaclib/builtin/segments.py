"""Tens of thousands of stand-alone synthetic segments, each of a patient of its own, for the training loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from hbaclib.artefacts import digest_json, is_current, read_manifest, verify, write_manifest, write_table
from hbaclib.conventions import CLASSES, EEG_RATE, EEG_WINDOW, IMAGE_SHAPE, RAW_PAIRS, REGIONS, VOTE_COLUMNS
from hbaclib.dataset.synthetic.segments import make_segment
from hbaclib.dataset.synthetic.votes import expected_votes
from hbaclib.dataset.synthetic.wide_reading import panel_votes
from hbaclib.inputs.store import InputArrays
from hbaclib.outputs import stage_folder
from hbaclib.signal.mel import absolute_spectrogram
from hbaclib.signal.raw import STEP, raw_signals
from hbaclib.signal.short import LEAST_SAMPLES, WAYS, place_short
from hbaclib.source import code_digest
from hbaclib.stages.blocks import Block, StoredArray, run_blocks, spans
from hbaclib.stages.names import EEG_ABSOLUTE, RAW_SIGNALS, SAMPLES

SEGMENTS: Final = "segments"
"""What the manifest calls the stage."""

HELD_OUT: Final = 10
"""One round of the six classes in so many is held out: it is in fold 0."""

N_VOTES: Final = 20
"""Votes a segment is said to have; its targets are the shares that experts are expected to give."""

SHORT: Final = {"nan": 0.1, "reflect": 0.2}
"""How often a segment is a short recording in the middle of the window: users have 10 s as well as 50."""

_BLOCK, _SEED_STEP = 50, 10_000_000
_OF_THE_SCENE = ("form", "rate", "ratio", "asymmetry")


def store_segments(folder: str | Path, n: int, seed: int, *, varied: bool = True, n_jobs: int | None = None) -> Path:
    """Make segments, equally many of each class, and store the images and signals that networks read.

    Args:
        folder: gets ``eeg_absolute.npy`` (n, 128, 256, 4), ``raw_signals.npy`` (n, 2000, 8), both float16, and
            ``samples.parquet``. What is finished is not made again; a run that was killed resumes.
        n: number of segments.
        seed: of all of them, below 2 ** 32.
        varied: patients of the wider population, see `make_segment`.
        n_jobs: processes; None: all cores.

    Returns:
        The folder.
    """
    folder = Path(folder)
    made_from: dict[str, Any] = {
        "inputs": {},
        "parameters": {"n": n, "seed": seed, "varied": varied, "short": dict(SHORT)},
        "code": code_digest(__name__),
    }
    with stage_folder(folder, SEGMENTS):
        if is_current(folder, **made_from):
            return folder
        arrays = [
            StoredArray(EEG_ABSOLUTE, (n, *IMAGE_SHAPE, len(REGIONS)), "float16"),
            StoredArray(RAW_SIGNALS, (n, EEG_WINDOW // STEP, len(RAW_PAIRS)), "float16"),
        ]
        blocks = [Block(start, stop, (start, stop, seed, varied)) for start, stop in spans(n, _BLOCK)]
        facts = run_blocks(
            _make_block,
            blocks,
            arrays=arrays,
            folder=folder,
            key=digest_json(made_from["parameters"]),
            n_jobs=n_jobs,
            description="synthetic segments",
        )
        table = pd.DataFrame([row for rows in facts for row in rows])
        write_table(folder / SAMPLES, table)
        write_manifest(folder, SEGMENTS, **made_from, outputs=[SAMPLES, EEG_ABSOLUTE, RAW_SIGNALS])
        return folder


def open_segments(folder: str | Path) -> InputArrays:
    """Open stored segments for `hbaclib.train`; of the two folds the first is a tenth of the patients.

    Raises:
        ArtefactError: they are not finished, or changed since.
    """
    folder = Path(folder)
    verify(folder)
    table = pd.read_parquet(folder / SAMPLES)
    number = table["patient_id"].to_numpy()
    fold = (number // len(CLASSES) % HELD_OUT > 0).astype(int)
    folds = pd.Series(fold, index=pd.Index(number, name="patient_id"), name="fold")
    raw = np.load(folder / RAW_SIGNALS, mmap_mode="r")
    images = np.load(folder / EEG_ABSOLUTE, mmap_mode="r")
    none = np.zeros((0, 0), np.float16)
    return InputArrays(table, folds, read_manifest(folder).digest, none, None, raw, eeg_absolute=images)


def _make_block(work: tuple[int, int, int, bool]) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Images and signals of some segments, and their rows of the table."""
    start, stop, seed, varied = work
    images, signals, rows = [], [], []
    for number in range(start, stop):
        eeg, row = _one(number, seed, varied)
        images.append(absolute_spectrogram(eeg).astype(np.float16))
        signals.append(raw_signals(eeg).astype(np.float16))
        rows.append(row)
    return {EEG_ABSOLUTE: np.stack(images), RAW_SIGNALS: np.stack(signals)}, rows


def _one(number: int, seed: int, varied: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """A segment (10000, 20) and its row: the ids are its number, for each is a patient of its own."""
    meant = CLASSES[number % len(CLASSES)]
    segment = make_segment(meant, seed * _SEED_STEP + number, varied=varied)
    rng = np.random.default_rng([seed, number])
    short = str(rng.choice(["", *WAYS], p=[1 - sum(SHORT.values()), *(SHORT[way] for way in WAYS)]))
    eeg, seconds = segment.eeg, EEG_WINDOW / EEG_RATE
    if short:
        # Most short recordings that people have are of 10 s, the time that experts judge.
        length = LEAST_SAMPLES if rng.random() < 0.5 else int(rng.integers(LEAST_SAMPLES, EEG_WINDOW))
        begin = (EEG_WINDOW - length) // 2
        eeg, seconds = place_short(eeg[begin : begin + length], short), length / EEG_RATE
    shares = panel_votes(segment.probability) if varied else expected_votes(segment.probability, "expert")
    main = segment.scene.patterns[0] if segment.scene.patterns else None
    row: dict[str, Any] = dict.fromkeys(("eeg_id", "spectrogram_id", "patient_id"), number)
    row |= {"eeg_start": 0, "spectrogram_row": 0, "n_votes": N_VOTES}
    row |= dict(zip(VOTE_COLUMNS, map(float, shares / shares.sum()), strict=True))
    row |= {"meant": meant, "short": short, "seconds": seconds, "artefact": segment.scene.artefact}
    row |= {"hidden": segment.hidden}
    row |= {"ideas": ", ".join(segment.ideas)}
    row |= {name: getattr(main, name, None) for name in _OF_THE_SCENE}
    return eeg, row
