"""Stage 02: the mel spectrogram and the raw signals of every sample."""

from __future__ import annotations

from pathlib import Path

from hbaclib.conventions import EEG_WINDOW, IMAGE_SHAPE, RAW_PAIRS, REGIONS
from hbaclib.signal.mel import eeg_spectrogram
from hbaclib.signal.raw import STEP, raw_signals
from hbaclib.source import code_digest
from hbaclib.stages.eeg_windows import store_eeg_windows
from hbaclib.stages.names import EEG, EEG_SPECTROGRAMS, RAW_SIGNALS
from hbaclib.stages.windows import Products

_PRODUCTS: Products = {
    EEG_SPECTROGRAMS: ((*IMAGE_SHAPE, len(REGIONS)), eeg_spectrogram),
    RAW_SIGNALS: ((EEG_WINDOW // STEP, len(RAW_PAIRS)), raw_signals),
}


def store_eeg_products(
    source: str | Path, port_folder: str | Path, out: str | Path, *, n_jobs: int | None = None
) -> Path:
    """Stage 02: the mel spectrograms and the eight raw signals of every sample; each EEG file is read once for both.

    Args:
        source: folder in the competition's format, the one that stage 01 was made from.
        port_folder: the folder of stage 01.
        out: the run's output folder; the stage writes ``02_eeg_spectrograms/`` in it.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.

    Returns:
        The stage's folder: ``eeg_spectrograms.npy`` (n, 128, 256, 4) and ``raw_signals.npy`` (n, 2000, 8), both
        float16, row i for row i of the samples table. A folder that is already made from this is returned at once.

    Raises:
        ArtefactError: stage 01 is missing, incomplete or changed, or the folder cannot be written.
        DataFileError: a recording cannot be read any more.
    """
    code, title = code_digest(__name__), "EEG spectrograms"
    return store_eeg_windows(EEG, _PRODUCTS, source, port_folder, out, code=code, n_jobs=n_jobs, description=title)
