"""The eight signals of every sample at the full 200 Hz: for recipes that crop them, an array that others do without."""

from __future__ import annotations

from pathlib import Path

from hbaclib.conventions import EEG_WINDOW, RAW_PAIRS
from hbaclib.signal.raw import signals_200hz
from hbaclib.source import code_digest
from hbaclib.stages.eeg_windows import store_eeg_windows
from hbaclib.stages.names import SIGNALS_200HZ, SIGNALS_200HZ_FILE

_PRODUCTS = {SIGNALS_200HZ_FILE: ((EEG_WINDOW, len(RAW_PAIRS)), signals_200hz)}


def store_signals_200hz(
    source: str | Path, port_folder: str | Path, out: str | Path, *, n_jobs: int | None = None
) -> Path:
    """Store the eight signals of every sample, clipped and scaled but unfiltered, at 200 Hz (160 kB each).

    Args:
        source: folder in the competition's format, the one that stage 01 was made from.
        port_folder: the folder of stage 01.
        out: the run's output folder; ``06_signals_200hz/`` is written in it.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.

    Returns:
        The folder: ``signals_200hz.npy`` (n, 10000, 8) float16, row i for row i of the samples table. A folder that is
        already made from this is returned at once.

    Raises:
        ArtefactError: stage 01 is missing, incomplete or changed, or the folder cannot be written.
        DataFileError: a recording cannot be read any more.
    """
    code, title = code_digest(__name__), "signals at 200 Hz"
    return store_eeg_windows(
        SIGNALS_200HZ, _PRODUCTS, source, port_folder, out, code=code, n_jobs=n_jobs, description=title
    )
