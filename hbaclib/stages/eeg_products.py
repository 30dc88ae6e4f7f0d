"""Stage 02: the mel spectrograms and the raw signals of every sample."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hbaclib.artefacts import read_manifest
from hbaclib.conventions import EEG_WINDOW, IMAGE_SHAPE, RAW_PAIRS, REGIONS
from hbaclib.errors import ConfigError
from hbaclib.signal.mel import absolute_spectrogram, eeg_spectrogram
from hbaclib.signal.raw import STEP, raw_signals
from hbaclib.source import code_digest
from hbaclib.stages.eeg_windows import store_eeg_windows
from hbaclib.stages.names import EEG, EEG_IMAGES, RAW_SIGNALS
from hbaclib.stages.windows import Products

_IMAGES = {"pair": eeg_spectrogram, "absolute": absolute_spectrogram}


def store_eeg_products(
    source: str | Path,
    port_folder: str | Path,
    out: str | Path,
    *,
    images: Collection[str] = ("pair",),
    n_jobs: int | None = None,
) -> Path:
    """Stage 02: mel spectrograms and the eight raw signals of every sample; each EEG file is read once for all.

    Args:
        source: folder in the competition's format, the one that stage 01 was made from.
        port_folder: the folder of stage 01.
        out: the run's output folder; the stage writes ``02_eeg_spectrograms/`` in it.
        images: which images of the EEG, as recipes name them (``image``): ``pair``, ``absolute`` or both.
        n_jobs: processes; None: all cores, or as ``joblib.parallel_config`` says.

    Returns:
        The stage's folder: ``eeg_spectrograms.npy`` (image ``pair``) and ``eeg_absolute.npy`` (image ``absolute``),
        (n, 128, 256, 4) each, and ``raw_signals.npy`` (n, 2000, 8), all float16, row i for row i of the samples table.
        A folder that is already made from this is returned at once; of one with other images those that are not asked
        for are removed.

    Raises:
        ConfigError: an unknown image, or none.
        ArtefactError: stage 01 is missing, incomplete or changed, or the folder cannot be written.
        DataFileError: a recording cannot be read any more.
    """
    chosen = [name for name in EEG_IMAGES if name in images]
    if isinstance(images, str) or not chosen or set(images) - set(chosen):
        raise ConfigError(f"images is {images!r}, expected a list of {' and '.join(map(repr, EEG_IMAGES))}")
    products: Products = {
        **{EEG_IMAGES[name]: ((*IMAGE_SHAPE, len(REGIONS)), _IMAGES[name]) for name in chosen},
        RAW_SIGNALS: ((EEG_WINDOW // STEP, len(RAW_PAIRS)), raw_signals),
    }
    return store_eeg_windows(
        EEG,
        products,
        source,
        port_folder,
        out,
        code=code_digest(__name__),
        parameters={"images": chosen},
        stale=set(EEG_IMAGES.values()) - set(products),
        n_jobs=n_jobs,
        description="EEG spectrograms",
    )


def stored_images(folder: str | Path) -> tuple[str, ...]:
    """Which images of the EEG a finished stage 02 holds.

    Raises:
        ArtefactError: it has not finished.
    """
    outputs = read_manifest(folder).outputs
    return tuple(name for name, file in EEG_IMAGES.items() if file in outputs)
