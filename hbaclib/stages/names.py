"""The one table of stages: what a stage's folder holds, as its manifest says (``stage``), and the files in it.

Where a suite has one folder of a kind, the kind is its name, too; trained networks and comparisons have any name.
"""

from __future__ import annotations

PORT, EEG, IMAGES = "01_port_data", "02_eeg_spectrograms", "03_assemble_inputs"
SIGNALS_200HZ = "06_signals_200hz"
TRAINED, FIRST_ROUND, PSEUDO_LABELS = "train", "first_round", "pseudo_labels"
COMPARISON, ENSEMBLE, SUBMIT, REPORT = "comparison", "07_ensemble", "08_submit", "report"

OOF_FILE = "oof.parquet"
"""Out-of-fold predictions in the folder of a network, once all its folds are trained, and in that of an ensemble."""

EFFICIENTNET, KERASCV, RAW = "04_train_efficientnet", "05_train_kerascv", "06_train_raw_eeg"
"""The notebooks that train networks."""
TRAINING_PREFIXES = tuple(f"{name[:2]}_train_" for name in (EFFICIENTNET, KERASCV, RAW))
"""How the folders of their networks begin."""

SAMPLES, FOLDS, QUALITY, FAULTS = "samples.parquet", "folds.parquet", "quality.parquet", "faults.parquet"
SPECTROGRAM_ROWS, SPECTROGRAM_INDEX = "spectrogram_rows.npy", "spectrogram_index.parquet"
EEG_SPECTROGRAMS, RAW_SIGNALS, KAGGLE_IMAGES = "eeg_spectrograms.npy", "raw_signals.npy", "kaggle_images.npy"
SIGNALS_200HZ_FILE = "signals_200hz.npy"
EEG_ABSOLUTE, KAGGLE_SCALES = "eeg_absolute.npy", "kaggle_scales.npy"
EEG_IMAGES = {"pair": EEG_SPECTROGRAMS, "absolute": EEG_ABSOLUTE}
"""Which image of the EEG a recipe asks for (``image``) -> its file in stage 02."""
