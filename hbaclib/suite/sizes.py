"""How much each stage writes, computed beforehand: a Kaggle session keeps 20 GB of output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbaclib.conventions import EEG_RATE, IMAGE_SHAPE, SPECTROGRAM_COLUMNS
from hbaclib.errors import ConfigError
from hbaclib.suite.table import Stage, Suite

LIMIT = 20_000_000_000
"""Bytes that a Kaggle session keeps of what it wrote."""
RAW_SHAPE = (2000, 8)
PARAMETERS = {"b0": 5_330_564, "b1": 7_856_232, "b2": 9_177_562, "b3": 12_320_528, "b4": 19_466_816}
"""Weights of an EfficientNet with its 1000-class top; ours are smaller."""
SMALL = 30_000_000
"""Bound of what the stages without arrays write: tables, figures, the executed notebook."""


TRAINED = 3_000_000_000
"""Bound of what the other families' training stages write: some twenty fits of networks up to 25 million weights."""


@dataclass(frozen=True)
class Counts:
    """What the sizes depend on.

    Attributes:
        samples: training samples.
        spectrogram_rows: rows of all training spectrograms together.
        synthetic_bytes: files of the synthetic set, where stage 01 makes one.
        source: where the counts come from, for messages.
    """

    samples: int
    spectrogram_rows: int
    synthetic_bytes: int
    source: str


COMPETITION = {
    "vote_groups": Counts(20_180, 11_138 * 500, 0, "the competition's files, spectrograms of 500 rows assumed"),
    "non_overlapping": Counts(17_089, 11_138 * 500, 0, "the competition's files, spectrograms of 500 rows assumed"),
}
"""Counts of the competition's files by the way samples are drawn."""


def count_folder(folder: str | Path, sampling: str) -> Counts:
    """Counts of a folder in the competition's format, from its table and the spectrogram files' own heads.

    Args:
        folder: folder with ``train.csv`` and ``train_spectrograms``.
        sampling: ``vote_groups`` or ``non_overlapping``.
    """
    import pyarrow.parquet

    from hbaclib.dataset.competition import open_competition
    from hbaclib.dataset.samples import non_overlapping_samples, vote_group_samples

    folder = Path(folder)
    train = open_competition(folder).train
    files = (folder / "train_spectrograms").glob("*.parquet")
    rows = sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)
    samples = {"vote_groups": vote_group_samples, "non_overlapping": non_overlapping_samples}[sampling](train)
    return Counts(len(samples), rows, 0, str(folder))


def count_synthetic(patients: int) -> Counts:
    """Upper bounds for a synthetic set, from its number of patients."""
    recordings = 8 * patients
    eeg_bytes = recordings * 120 * EEG_RATE * 20 * 4
    return Counts(4 * recordings, recordings * 400, eeg_bytes, f"a synthetic set of {patients} patients, upper bounds")


def suite_counts(suite: Suite, defaults: dict[str, Any], data: str | Path | None = None) -> Counts:
    """Counts for a suite: of a folder if one is given, else of the competition, else of the synthetic set it makes.

    Args:
        suite: the suite.
        defaults: parameters of its first stage, as its notebook declares and the suite sets them.
        data: folder in the competition's format.
    """
    sampling = str(defaults.get("sampling", "vote_groups")).strip("\"'")
    if sampling not in COMPETITION:
        raise ConfigError(f"suite {suite.name}: sampling {sampling!r}, expected one of {', '.join(COMPETITION)}")
    if data:
        return count_folder(data, sampling)
    if suite.competition:
        return COMPETITION[sampling]
    return count_synthetic(int(defaults.get("synthetic_patients", 40)))


def stage_bytes(stage: Stage, counts: Counts) -> int:
    """Bytes that a stage writes, at most.

    Args:
        stage: the stage.
        counts: what it works on.

    Raises:
        ConfigError: a training stage names a recipe that does not exist.
    """
    image = counts.samples * IMAGE_SHAPE[0] * IMAGE_SHAPE[1] * 4 * 2
    name = stage.notebook.name
    if name == "01_port_data":
        return SMALL + counts.synthetic_bytes + counts.spectrogram_rows * len(SPECTROGRAM_COLUMNS) * 2
    if name == "02_eeg_spectrograms":
        return SMALL + image + counts.samples * RAW_SHAPE[0] * RAW_SHAPE[1] * 2
    if name == "03_assemble_inputs":
        return SMALL + image
    if name.startswith("04_"):
        from hbaclib.training.recipe import load_recipe

        recipe = load_recipe(str(stage.parameters.get("recipe") or "gold"))
        backbone = str(stage.parameters.get("backbone", recipe.backbone))
        parameters = PARAMETERS.get(backbone.rpartition("_")[2], PARAMETERS["b4"])
        # Fits that were stopped, one on each GPU, also leave a checkpoint: weights, their mean, the optimizer's two.
        return SMALL + parameters * 4 * (recipe.folds * len(recipe.seeds) + 2 * 4)
    return TRAINED if name.startswith(("05_", "06_")) else SMALL


def show_bytes(size: float) -> str:
    """Bytes as megabytes or gigabytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
