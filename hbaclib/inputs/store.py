"""The stored inputs, opened in milliseconds and read through memory maps."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaclib.artefacts import digest_file, digest_json, read_manifest, verify
from hbaclib.conventions import SAMPLE_COLUMNS, SPECTROGRAM_WINDOW
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.signal.images import on_common_scale, starter_layout
from hbaclib.stages.names import (
    EEG,
    EEG_IMAGES,
    FOLDS,
    IMAGES,
    KAGGLE_IMAGES,
    KAGGLE_SCALES,
    PORT,
    RAW_SIGNALS,
    SAMPLES,
    SIGNALS_200HZ_FILE,
    SPECTROGRAM_INDEX,
    SPECTROGRAM_ROWS,
)

_ABSOLUTE = "_absolute"
IMAGE_KINDS = {f"{half}{image}": (half, bool(image)) for image in ("", _ABSOLUTE) for half in ("both", "kaggle", "eeg")}
"""Kind of images -> which half they are of, and whether they keep amplitudes."""
KINDS = (*IMAGE_KINDS, "raw", "starter", "signals_200hz")


def kind_of(half: str, image: str) -> str:
    """Kind of the images of a half (``both``, ``kaggle``, ``eeg``) as a recipe's ``image`` asks for them."""
    return half + _ABSOLUTE if image == "absolute" else half


class _Memory:
    """Memory for batches: that of an earlier one, as soon as nothing refers to it any more.

    A batch is megabytes. Fresh pages for each take as long as filling them.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """Empty uint64 array that begins at a multiple of 64 bytes: tf.data takes such a one over without a copy."""
        size = math.prod(shape)
        while self._free:
            room = self._free.pop()
            if len(room) == size + 7:
                break
        else:
            room = np.empty(size + 7, np.uint64)
        # Every view of the batch refers to this array, and it ends with the last of them.
        lent = np.frombuffer(room.data, np.uint64, size, offset=-room.ctypes.data % 64)
        if room.nbytes <= _KEPT:
            weakref.finalize(lent, self._free.append, room).atexit = False
        return lent.reshape(shape)


_KEPT = 2**26
_MEMORY = _Memory()


# Every network of a notebook, and every trial of a search, is trained on the same gigabytes.
_verified: dict[Path, dict[str, tuple[int, int]]] = {}


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of every file of a stage, by which a file that was written again is told."""
    facts = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (fact.st_size, fact.st_mtime_ns) for name, fact in facts.items()}


@dataclass(frozen=True)
class InputArrays:
    """Inputs of all samples; row i of every array belongs to row i of ``samples``.

    Attributes:
        samples: the samples table, columns SAMPLE_COLUMNS.
        folds: fold of every patient, indexed by ``patient_id``.
        digest: digest of everything that was opened.
        kaggle: (n, 128, 256, 4) float16, memory-mapped.
        kaggle_scales: (n, 4, 2) float32, memory-mapped: puts the regions of ``kaggle`` on one scale.
        eeg: (n, 128, 256, 4) float16 relative to each pair's maximum, memory-mapped; None where it is not stored.
        eeg_absolute: (n, 128, 256, 4) float16 on one scale, memory-mapped; None where it is not stored.
        raw: (n, 2000, 8) float16, memory-mapped.
        signals_200hz: (n, 10000, 8) float16, memory-mapped, where that stage has run.
        spectrogram_rows: (all rows, 400) float16 logarithm of the power, memory-mapped.
        spectrogram_starts: (n,) first row of each sample's ten minutes.
        sampling: how ``train.csv`` was aggregated.
        folders: the stages' folders that were opened.
    """

    samples: pd.DataFrame
    folds: pd.Series
    digest: str
    kaggle: np.ndarray
    eeg: np.ndarray | None
    raw: np.ndarray
    kaggle_scales: np.ndarray | None = None
    eeg_absolute: np.ndarray | None = None
    signals_200hz: np.ndarray | None = None
    spectrogram_rows: np.ndarray | None = None
    spectrogram_starts: np.ndarray | None = None
    sampling: str = ""
    folders: tuple[Path, ...] = ()

    def verify(self) -> None:
        """Compare every file with its manifest: read once in a process, and again where one was written since.

        Raises:
            ArtefactError: naming the folder, and the files that are missing or changed since its stage wrote them.
        """
        for folder in self.folders:
            stamps = _stamps(folder)
            if _verified.get(folder.resolve()) != stamps:
                verify(folder)
                _verified[folder.resolve()] = stamps

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would travel to a worker process as gigabytes of content; its file's path is enough.
        maps = {name: Path(str(value.filename)) for name, value in vars(self).items() if isinstance(value, np.memmap)}
        return vars(self) | maps

    def __setstate__(self, state: dict[str, Any]) -> None:
        maps = {name: np.load(value, mmap_mode="r") for name, value in state.items() if isinstance(value, Path)}
        vars(self).update(state | maps)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def image(self) -> str:
        """Which image of the EEG is stored, as recipes name it; ``pair`` where both are."""
        return "absolute" if self.eeg is None else "pair"

    def gather(self, rows: np.ndarray, inputs: str = "", dtype: Any = np.float32) -> np.ndarray:
        """Copy the inputs of some samples into memory.

        Args:
            rows: (b,) row numbers, in any order.
            inputs: ``both`` halves of the image, ``kaggle`` or ``eeg`` alone, each as it is or with ``_absolute``
                behind it (`kind_of`); the ``starter`` image, the ``raw`` signals at 40 Hz or the ``signals_200hz``;
                empty for both halves of the image that is stored.
            dtype: float32, or float16 as they are stored (which the starter image is not).

        Returns:
            (b, 128, 256, 8), (b, 128, 256, 4), (b, 400, 300, 3), (b, 2000, 8) or (b, 10000, 8) of that dtype.

        Raises:
            ConfigError: there is no such kind of input, or it is not stored.
        """
        inputs = inputs or kind_of("both", self.image)
        if inputs not in KINDS:
            raise ConfigError(f"inputs is {inputs!r}, expected one of {', '.join(KINDS)}")
        rows = np.asarray(rows)
        if inputs == "starter":
            return self._starter(rows)
        if inputs == "signals_200hz" and self.signals_200hz is None:
            raise ConfigError("the signals at 200 Hz are not stored; run `store_signals_200hz` and open its folder too")
        if inputs not in IMAGE_KINDS:
            return np.asarray(getattr(self, inputs)[rows], dtype)
        half, absolute = IMAGE_KINDS[inputs]
        if half == "kaggle":
            found = self.kaggle[rows]
        else:
            eeg = self.eeg_absolute if absolute else self.eeg
            if eeg is None:
                raise ConfigError(
                    f"image {'absolute' if absolute else 'pair'!r} of the EEG is not stored; run {EEG} with it among "
                    "its images"
                )
            found = eeg[rows] if half == "eeg" else self._both(rows, eeg)
        if absolute and half != "eeg":
            found[..., :4] = on_common_scale(found[..., :4], self._scales(rows))
        return np.asarray(found, dtype)

    def _scales(self, rows: np.ndarray) -> np.ndarray:
        if self.kaggle_scales is None:
            raise ConfigError(f"the scales of the ten-minute images are not stored; run {IMAGES} again")
        return self.kaggle_scales[rows]

    def _both(self, rows: np.ndarray, eeg: np.ndarray) -> np.ndarray:
        # A pixel's four float16 of one half are moved as one number of eight bytes.
        joined = _MEMORY.take((len(rows), *self.kaggle.shape[1:3], 2))
        for half, stored in enumerate((self.kaggle, eeg)):
            pixels = np.asarray(stored).view(np.uint64)[..., 0]
            for sample, row in zip(joined, rows, strict=True):
                sample[..., half] = pixels[row]
        return joined.view(np.float16)

    def _starter(self, rows: np.ndarray) -> np.ndarray:
        if self.spectrogram_rows is None or self.spectrogram_starts is None:
            raise ConfigError("the spectrograms' rows are not open; the starter image is made from them")
        windows = [
            self.spectrogram_rows[start : start + SPECTROGRAM_WINDOW].astype(np.float32)
            for start in self.spectrogram_starts[rows]
        ]
        return np.stack([starter_layout(np.exp(window)) for window in windows])


def open_inputs(
    port_folder: str | Path,
    eeg_folder: str | Path,
    images_folder: str | Path,
    signals_200hz_folder: str | Path | None = None,
) -> InputArrays:
    """Open the folders of stages 01 to 03.

    The small tables are checked against the digests of their manifest. Of the arrays only manifests and shapes are
    read: whether gigabytes are still what their manifest names is checked where a stage is found current, and by
    `InputArrays.verify` before anything is trained on them.

    Args:
        port_folder: of stage 01.
        eeg_folder: of stage 02, made from this stage 01.
        images_folder: of stage 03, made from this stage 01.
        signals_200hz_folder: of the signals at 200 Hz, made from this stage 01; None where no recipe crops them.

    Raises:
        ArtefactError: a stage is missing or unfinished, was made from another stage 01, or lacks rows; or a table is
            not the one that stage 01 wrote.
    """
    named = (port_folder, eeg_folder, images_folder, signals_200hz_folder)
    folders = tuple(Path(folder).resolve() for folder in named if folder)
    manifests = [read_manifest(folder) for folder in folders]
    port_folder, port = folders[0], manifests[0]
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        if (made_from := manifest.inputs.get(PORT)) != port.digest:
            raise ArtefactError(
                f"{folder}: made from another {PORT} ({made_from}) than {port_folder} ({port.digest}); "
                "run the stage again"
            )
    try:
        samples = pd.read_parquet(port_folder / SAMPLES)[list(SAMPLE_COLUMNS)]
        folds = pd.read_parquet(port_folder / FOLDS).set_index("patient_id")["fold"]
        index = pd.read_parquet(port_folder / SPECTROGRAM_INDEX).set_index("spectrogram_id")["start"]
        spectrogram_rows = np.load(port_folder / SPECTROGRAM_ROWS, mmap_mode="r")
    except OSError as error:
        raise ArtefactError(f"{port_folder}: {error}; run {PORT} again") from error
    for name in (SAMPLES, FOLDS, SPECTROGRAM_INDEX):
        if digest_file(port_folder / name) != port.outputs.get(name):
            raise ArtefactError(
                f"{port_folder / name}: not the table that {PORT} wrote, so its rows need not be those of the arrays; "
                f"run {PORT} again"
            )

    def stored(stage: int, name: str) -> np.ndarray:
        return _open(folders[stage] / name, manifests[stage].stage, len(samples))

    def of_eeg(image: str) -> np.ndarray | None:
        return stored(1, EEG_IMAGES[image]) if EEG_IMAGES[image] in manifests[1].outputs else None

    return InputArrays(
        samples=samples,
        folds=folds,
        digest=digest_json([manifest.digest for manifest in manifests]),
        kaggle=stored(2, KAGGLE_IMAGES),
        eeg=of_eeg("pair"),
        raw=stored(1, RAW_SIGNALS),
        kaggle_scales=stored(2, KAGGLE_SCALES),
        eeg_absolute=of_eeg("absolute"),
        signals_200hz=stored(3, SIGNALS_200HZ_FILE) if len(folders) > 3 else None,
        spectrogram_rows=spectrogram_rows,
        sampling=str(port.parameters.get("sampling", "")),
        folders=folders,
        spectrogram_starts=index.loc[samples["spectrogram_id"]].to_numpy() + samples["spectrogram_row"].to_numpy(),
    )


def _open(path: Path, stage: str, n: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path}: not a whole array ({error}); run {stage} again") from error
    if len(array) != n:
        raise ArtefactError(f"{path}: {len(array)} rows, the samples table has {n}; run {stage} again")
    return array
