"""How much each stage writes, computed beforehand: a Kaggle session keeps 20 GB of output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbaclib.conventions import (
    EEG_COLUMNS,
    EEG_RATE,
    EEG_WINDOW,
    IMAGE_SHAPE,
    SPECTROGRAM_COLUMNS,
    SPECTROGRAM_STEP,
    SPECTROGRAM_WINDOW,
)
from hbaclib.errors import ConfigError, list_some
from hbaclib.stages.names import EEG, EEG_IMAGES, IMAGES, PORT, TRAINING_PREFIXES
from hbaclib.suite.table import Stage, Suite

if TYPE_CHECKING:
    from hbaclib.training.recipe import Recipe

LIMIT = 20_000_000_000
"""Bytes that a Kaggle session keeps of what it wrote."""
RAW_SHAPE = (2000, 8)
PARAMETERS = {
    "efficientnet_b0": 5_330_564, "efficientnet_b1": 7_856_232, "efficientnet_b2": 9_177_562,
    "efficientnet_b3": 12_320_528, "efficientnet_b4": 19_466_816,
    "efficientnet_lite0": 4_700_000, "efficientnet_lite1": 5_500_000, "efficientnet_lite2": 6_200_000,
    "efficientnet_v2_b0": 6_000_000, "efficientnet_v2_b1": 7_000_000, "efficientnet_v2_b2": 8_900_000,
    "efficientnet_v2_b3": 13_000_000, "efficientnet_v2_s": 20_400_000, "resnet50_v2": 23_700_000,
    "mobilenet_v3_large": 3_100_000, "densenet201": 18_400_000, "convnet_small": 120_000, "convnet_frequency": 200_000,
    "wavenet": 330_000, "resnet1d_gru": 200_000, "convnet_raw": 160_000,
}  # fmt: skip
"""Network -> at most so many weights (an EfficientNet's with its 1000-class top; ours are smaller)."""
UNKNOWN_NETWORK = 25_000_000
"""Weights that a user's own network is taken to have."""
SMALL = 30_000_000
"""Bound of what the stages without arrays write: tables, figures, the executed notebook."""
_EEGS_PER_RECORDING, _TEST_ROWS = 4, 20  # of a synthetic set, where nobody says otherwise
_EEG_HEAD, _SPECTROGRAM_HEAD = 10_000, 80_000  # bytes of a Parquet file beside its numbers
_HEADS = 40  # files whose heads stand for all
_OOF_ROW = 200  # bytes of a row of out-of-fold predictions


@dataclass(frozen=True)
class Counts:
    """What the sizes depend on.

    Attributes:
        samples: training samples.
        spectrogram_rows: rows of all training spectrograms together.
        synthetic_bytes: files of the synthetic set, where stage 01 makes one.
        source: where the counts come from, for messages.
        folds: folds of the data; 0 for as many as a recipe has.
    """

    samples: int
    spectrogram_rows: int
    synthetic_bytes: int
    source: str
    folds: int = 0


COMPETITION = {
    "vote_groups": Counts(20_180, 11_138 * 500, 0, "the competition's files, spectrograms of 500 rows assumed"),
    "non_overlapping": Counts(17_089, 11_138 * 500, 0, "the competition's files, spectrograms of 500 rows assumed"),
}
"""Counts of the competition's files by the way samples are drawn."""


def count_folder(folder: str | Path, sampling: str, *, quickly: bool = False) -> Counts:
    """Counts of a folder in the competition's format, from its table and the spectrogram files' own heads.

    Args:
        folder: folder with ``train.csv`` and ``train_spectrograms``.
        sampling: ``vote_groups`` or ``non_overlapping``.
        quickly: read some heads alone, and infer the rows of all spectrograms from their files' sizes.

    Raises:
        DataFileError: there is no readable ``train.csv``.
    """
    import pyarrow.parquet

    from hbaclib.dataset.competition import open_competition
    from hbaclib.dataset.samples import SAMPLINGS
    from hbaclib.recordings.found import recording_files

    folder = Path(folder)
    samples = len(SAMPLINGS[sampling](open_competition(folder).train))
    files = [path for path in recording_files(folder / "train_spectrograms") if path.is_file()]
    some = files[:: len(files) // _HEADS + 1] if quickly else files
    try:
        rows = sum(pyarrow.parquet.read_metadata(file).num_rows for file in some)
        if quickly:
            share = sum(file.stat().st_size for file in files) / max(sum(file.stat().st_size for file in some), 1)
            rows = math.ceil(1.1 * share * rows)
    except (OSError, pyarrow.ArrowInvalid):
        # The first stage tells of faulty files, all of them.
        rows = math.ceil(1.1 * SPECTROGRAM_WINDOW * len(files))
    # Where there are no files the spectrograms are computed, of the windows' length at least.
    return Counts(samples, rows if files else SPECTROGRAM_WINDOW * samples, 0, str(folder))


def count_synthetic(patients: int, recordings: float = 2.5, seed: int = 1) -> Counts:
    """Counts of a synthetic set, from the plan that is drawn for it; its files are taken as uncompressed.

    Args:
        patients: number of training patients.
        recordings: mean number of recordings per patient.
        seed: seed of the set.
    """
    from hbaclib.dataset.synthetic.plan import plan_dataset

    drawn = plan_dataset(patients, _TEST_ROWS, recordings, _EEGS_PER_RECORDING, seed)
    made = [recording for patient in drawn for recording in patient.recordings]
    eegs = [eeg for recording in made for eeg in recording.eegs]
    train = [recording for recording in made if recording.split == "train"]
    size = (
        sum(eeg.seconds for eeg in eegs) * EEG_RATE * len(EEG_COLUMNS) * 4
        + sum(recording.seconds for recording in made) // SPECTROGRAM_STEP * (len(SPECTROGRAM_COLUMNS) * 4 + 8)
        + len(eegs) * _EEG_HEAD
        + len(made) * _SPECTROGRAM_HEAD
    )
    samples = sum(len(set(eeg.row_groups)) for recording in train for eeg in recording.eegs)
    rows = sum(recording.seconds for recording in train) // SPECTROGRAM_STEP
    return Counts(samples, rows, size, f"a synthetic set of {patients} patients")


def suite_counts(
    suite: Suite, defaults: Mapping[str, Any], data: str | Path | None = None, *, quickly: bool = False
) -> Counts:
    """Counts for a suite: of a folder if one is named, else of the competition, else of the synthetic set it makes.

    Args:
        suite: the suite.
        defaults: parameters of its first stage, as its notebook declares and the suite sets them.
        data: folder in the competition's format.
        quickly: estimate the folder's counts (`count_folder`).

    Raises:
        ConfigError: a parameter is not valid.
        DataFileError: the folder has no readable ``train.csv``.
    """
    sampling = str(defaults.get("sampling", "vote_groups")).strip("\"'")
    if sampling not in COMPETITION:
        raise ConfigError(f"suite {suite.name}: sampling {sampling!r}, expected one of {', '.join(COMPETITION)}")
    if data:
        counts = count_folder(data, sampling, quickly=quickly)
    elif suite.competition:
        counts = COMPETITION[sampling]
    else:
        counts = count_synthetic(
            max(int(_number(suite, defaults, "synthetic_patients", 40)), 1),  # none is for the first stage to refuse
            _number(suite, defaults, "synthetic_recordings", 2.5),
            int(_number(suite, defaults, "synthetic_seed", 1)),
        )
    return replace(counts, folds=int(_number(suite, defaults, "n_folds", 0)))


def _number(suite: Suite, values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigError(f"suite {suite.name}: {name} is {value!r}, expected a number of 0 or more")
    return value


def stage_bytes(stage: Stage, counts: Counts) -> int:
    """Bytes that a stage writes, at most.

    Args:
        stage: the stage.
        counts: what it works on.

    Raises:
        ConfigError: a training stage's parameters are not valid.
    """
    image = counts.samples * IMAGE_SHAPE[0] * IMAGE_SHAPE[1] * 4 * 2
    name = stage.notebook.name
    if name == PORT:
        return SMALL + counts.synthetic_bytes + counts.spectrogram_rows * len(SPECTROGRAM_COLUMNS) * 2
    if name == EEG:
        images = len(set(stage.parameters.get("images", EEG_IMAGES)))
        return SMALL + images * image + counts.samples * RAW_SHAPE[0] * RAW_SHAPE[1] * 2
    if name == IMAGES:
        return SMALL + image
    if not name.startswith(TRAINING_PREFIXES):
        return SMALL
    from hbaclib.suite.plans import GOLD, plans_of

    # A build is made where there may be no GPU, which must not choose the recipe.
    plans = plans_of(name, {**stage.parameters, "recipe": stage.parameters.get("recipe") or GOLD.get(name, "")})
    if plans is None:
        return SMALL
    cropped = EEG_WINDOW * RAW_SHAPE[1] * 2 if any(plan.crop_seconds for plan in plans.recipes.values()) else 0
    fits = sum(_fit_bytes(plan, counts) for plan in plans.recipes.values())
    # Fits that were stopped, one on each GPU, also leave a checkpoint: weights, their mean, the optimizer's two.
    stopped = 2 * 4 * max(_weight_bytes(plan.backbone) for plan in plans.recipes.values())
    return SMALL + fits + stopped + counts.samples * cropped


def _fit_bytes(plan: Recipe, counts: Counts) -> int:
    """Bytes that the finished fits of a recipe leave: weights, and one prediction of every sample a seed and round."""
    rounds = 2 if plan.pseudo_weight else 1  # the second trains on the pseudo-labels of the first
    fits = (counts.folds or plan.folds) * len(plan.seeds)
    return rounds * (fits * _weight_bytes(plan.backbone) + counts.samples * (1 + len(plan.seeds)) * _OOF_ROW)


def _weight_bytes(backbone: str) -> int:
    image = backbone.removesuffix("_wavenet")
    found = PARAMETERS.get(image, UNKNOWN_NETWORK) + (PARAMETERS["wavenet"] if image != backbone else 0)
    return found * 4


def check_kernels(found: Mapping[str, int], where: str, source: str = "") -> None:
    """Check that every kernel writes no more than a Kaggle session keeps.

    Args:
        found: kernel -> bytes.
        where: what they are kernels of, for the message.
        source: what the bytes were computed for; empty where it is not known any more.

    Raises:
        ConfigError: some write more; names them and their bytes.
    """
    over = [f"{name} {show_bytes(size)}" for name, size in found.items() if size > LIMIT]
    if over:
        computed = f" (computed for {source})" * bool(source)
        raise ConfigError(
            f"{where}: {list_some(over)} written, a Kaggle session keeps {show_bytes(LIMIT)}{computed}; draw fewer "
            'samples, for example with sampling = "non_overlapping", or store one image of the EEG'
        )


def show_bytes(size: float) -> str:
    """Bytes as megabytes or gigabytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
