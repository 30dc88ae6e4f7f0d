"""Readers of the caches that public notebooks share: pickled dictionaries in ``.npy`` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hbaclib.conventions import IMAGE_SHAPE, REGIONS, SPECTROGRAM_COLUMNS
from hbaclib.errors import ConfigError, DataFileError

_PUBLIC_ORDER = ("LL", "LP", "RL", "RP")
"""Order of the EEG planes in the public files; the last two are called RP and RR there."""


def read_eeg_specs(path: str | Path, *, allow_pickle: bool = False) -> dict[int, np.ndarray]:
    """Read ``eeg_specs.npy``: eeg_id -> mel spectrogram.

    Args:
        path: the file.
        allow_pickle: must be True: see Raises.

    Returns:
        eeg_id -> (128, 256, 4) float32, planes in the order LL, RL, LP, RP; the public files hold LL, LP, RL, RP.

    Raises:
        ConfigError: ``allow_pickle`` is not True. The file is a pickle, and unpickling runs whatever code its author
            put into it: allow it only for a file whose origin you trust.
        DataFileError: the file is not such a cache.
    """
    order = [_PUBLIC_ORDER.index(region) for region in REGIONS]
    shape = (*IMAGE_SHAPE, len(REGIONS))
    return {name: image[..., order] for name, image in _read(Path(path), shape, allow_pickle).items()}


def read_specs(path: str | Path, *, allow_pickle: bool = False) -> dict[int, np.ndarray]:
    """Read ``specs.npy``: spectrogram_id -> rows of its file.

    Args:
        path: the file.
        allow_pickle: must be True: see Raises.

    Returns:
        spectrogram_id -> (n_rows, 400) float32 power density in µV²/Hz.

    Raises:
        ConfigError: ``allow_pickle`` is not True. The file is a pickle, and unpickling runs whatever code its author
            put into it: allow it only for a file whose origin you trust.
        DataFileError: the file is not such a cache.
    """
    return _read(Path(path), (None, len(SPECTROGRAM_COLUMNS)), allow_pickle)


def _read(path: Path, shape: tuple[int | None, ...], allow_pickle: bool) -> dict[int, np.ndarray]:
    if allow_pickle is not True:
        raise ConfigError(
            f"{path}: this cache is a pickled dictionary, and unpickling runs whatever code its author put into it; "
            "pass allow_pickle=True if you trust where it comes from"
        )
    try:
        content = np.load(path, allow_pickle=True).item()
    except Exception as error:  # a pickle may raise anything
        raise DataFileError(f"{path}: not a pickled dictionary in a .npy file ({error})") from error
    if not isinstance(content, dict):
        raise DataFileError(f"{path}: found {type(content).__name__}, expected a dictionary of arrays")
    arrays = {}
    for name, value in content.items():
        array = np.asarray(value, np.float32)
        fits = array.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            raise DataFileError(f"{path}: entry {name} has shape {array.shape}, expected {shape}")
        arrays[int(name)] = array
    return arrays
