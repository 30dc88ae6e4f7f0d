"""The one table of names: classes, vote columns, electrodes, chains, channel orders and rates.

Everything that depends on an order (montages, spectrogram columns, left-right swaps) is derived here from electrode and
class *names*, so that no other file holds an index by hand.
"""

from __future__ import annotations

import math
from typing import Final

CLASSES: Final = ("Seizure", "LPD", "GPD", "LRDA", "GRDA", "Other")
"""Class names as written in ``expert_consensus``, in the order of the vote columns."""

PATTERNS: Final = tuple(name for name in CLASSES if name != "Other")
"""The classes that are seen where there is something to be seen."""

CLASS_COLOURS: Final = dict(
    zip(CLASSES, ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#7F7F7F"), strict=True)
)
"""Class -> colour. Okabe and Ito's: told apart by colour-blind readers and in print."""

VOTE_COLUMNS: Final = tuple(f"{name.lower()}_vote" for name in CLASSES)
"""Vote columns of ``train.csv`` and prediction columns of ``submission.csv``."""

LEFT_ELECTRODES: Final = ("Fp1", "F3", "C3", "P3", "F7", "T3", "T5", "O1")
MIDLINE_ELECTRODES: Final = ("Fz", "Cz", "Pz")
RIGHT_ELECTRODES: Final = ("Fp2", "F4", "C4", "P4", "F8", "T4", "T6", "O2")

SCALP_ELECTRODES: Final = LEFT_ELECTRODES + MIDLINE_ELECTRODES + RIGHT_ELECTRODES
"""The 19 scalp electrodes of the 10-20 system, in the file's order."""

EEG_COLUMNS: Final = (*SCALP_ELECTRODES, "EKG")
"""The 20 columns of an EEG file, in the file's order."""

MIRRORED_ELECTRODE: Final = {
    **dict(zip(LEFT_ELECTRODES, RIGHT_ELECTRODES, strict=True)),
    **dict(zip(RIGHT_ELECTRODES, LEFT_ELECTRODES, strict=True)),
    **{name: name for name in (*MIDLINE_ELECTRODES, "EKG")},
}
"""Electrode -> its counterpart on the other side of the head."""

CHAINS: Final = {
    "LL": ("Fp1", "F7", "T3", "T5", "O1"),
    "RL": ("Fp2", "F8", "T4", "T6", "O2"),
    "LP": ("Fp1", "F3", "C3", "P3", "O1"),
    "RP": ("Fp2", "F4", "C4", "P4", "O2"),
}
"""Region -> its chain of electrodes. The order of the regions is that of the spectrogram files and of every image."""

REGIONS: Final = tuple(CHAINS)
"""Left lateral (temporal), right lateral, left parasagittal, right parasagittal."""

RAW_PAIRS: Final = (
    ("Fp1", "T3"),
    ("T3", "O1"),
    ("Fp1", "C3"),
    ("C3", "O1"),
    ("Fp2", "C4"),
    ("C4", "O2"),
    ("Fp2", "T4"),
    ("T4", "O2"),
)
"""The eight bipolar signals of the raw-EEG networks."""

EEG_RATE: Final = 200
"""Sampling rate of the EEG files, Hz."""

EEG_WINDOW: Final = 10_000
"""Samples of one labelled EEG window (50 s)."""

SPECTROGRAM_STEP: Final = 2
"""Seconds between two rows of a spectrogram file."""

SPECTROGRAM_WINDOW: Final = 300
"""Rows of one labelled spectrogram window (600 s)."""

SPECTROGRAM_NFFT: Final = 1024
"""FFT length behind the spectrogram files' frequencies."""

SPECTROGRAM_BINS: Final = tuple(range(3, 103))
"""FFT bins that the spectrogram files keep."""

SPECTROGRAM_FREQUENCIES: Final = tuple(k * EEG_RATE / SPECTROGRAM_NFFT for k in SPECTROGRAM_BINS)
"""The 100 frequencies of each region, Hz (0.59 .. 19.92)."""

# The files round halves up (3.125 -> 3.13), Python's round() to even.
SPECTROGRAM_COLUMNS: Final = tuple(
    f"{region}_{math.floor(100 * frequency + 0.5) / 100}" for region in REGIONS for frequency in SPECTROGRAM_FREQUENCIES
)
"""The 400 power columns of a spectrogram file (without ``time``), in the file's order."""

IMAGE_SHAPE: Final = (128, 256)
"""Frequency x time pixels of one image plane."""

TRAIN_COLUMNS: Final = (
    "eeg_id",
    "eeg_sub_id",
    "eeg_label_offset_seconds",
    "spectrogram_id",
    "spectrogram_sub_id",
    "spectrogram_label_offset_seconds",
    "label_id",
    "patient_id",
    "expert_consensus",
    *VOTE_COLUMNS,
)
"""Columns of ``train.csv``."""

TEST_COLUMNS: Final = ("spectrogram_id", "eeg_id", "patient_id")
"""Columns of ``test.csv``."""

SUBMISSION_COLUMNS: Final = ("eeg_id", *VOTE_COLUMNS)
"""Columns of ``submission.csv``."""

SAMPLE_ID: Final = ("eeg_id", "eeg_start")
"""The two columns that identify a sample: the recording and the first EEG sample of its window."""

SAMPLE_COLUMNS: Final = (
    "eeg_id",
    "spectrogram_id",
    "patient_id",
    "eeg_start",
    "spectrogram_row",
    "n_votes",
    *VOTE_COLUMNS,
)
"""Columns of a samples table; the votes are shares that sum to 1."""

PREDICTION_COLUMNS: Final = tuple(f"{name.lower()}_prediction" for name in CLASSES)
"""Columns of the predicted shares beside the true ones in an out-of-fold table."""

OOF_COLUMNS: Final = (*SAMPLE_ID, "patient_id", "n_votes", "fold", *VOTE_COLUMNS, *PREDICTION_COLUMNS)
"""Columns of an out-of-fold table."""

VOTE_TIERS: Final = {"1-2": (1, 2), "3-9": (3, 9), ">=10": (10, None), "all": (1, None)}
"""Tier -> least and greatest number of votes of a row. The test set is of tier ">=10" alone."""

RECORDING_ENDINGS: Final = (".parquet", ".edf", ".bdf", ".rec")
"""Endings by which the files of a folder are taken for recordings, Parquet and the others."""

MANY_VOTES: Final = 10
"""Rows with at least so many votes come from the expert group that labelled the test set."""


def _swap(names: tuple[str, ...], counterpart: dict[str, str]) -> tuple[int, ...]:
    return tuple(names.index(counterpart[name]) for name in names)


MIRRORED_REGION: Final = {"LL": "RL", "RL": "LL", "LP": "RP", "RP": "LP"}
"""Region -> the same chain on the other side of the head."""

REGION_SWAP: Final = _swap(REGIONS, MIRRORED_REGION)
"""Channel order that swaps left and right in one half (4 planes) of an image."""

ELECTRODE_SWAP: Final = _swap(EEG_COLUMNS, MIRRORED_ELECTRODE)
"""Column order that swaps left and right in an EEG."""

RAW_SWAP: Final = tuple(
    RAW_PAIRS.index((MIRRORED_ELECTRODE[first], MIRRORED_ELECTRODE[second])) for first, second in RAW_PAIRS
)
"""Channel order that swaps left and right in the eight raw signals."""
