"""A run's output folder as the notebooks leave it, with invented predictions and recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from hbaclib.artefacts import read_manifest, write_manifest, write_table
from hbaclib.conventions import EEG_COLUMNS, SAMPLE_COLUMNS, VOTE_COLUMNS
from hbaclib.ensemble.comparison import store_comparison
from hbaclib.ensemble.store import ensemble_stage
from hbaclib.evaluation.oof import oof_table
from hbaclib.stages.names import COMPARISON, FIRST_ROUND, PSEUDO_LABELS, TRAINED
from hbaclib.training.recipe import load_recipe

CLASS_MEANS = np.array([0.08, 0.18, 0.14, 0.10, 0.12, 0.38])


def fake_votes(rng: np.random.Generator, n: int, n_votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected shares and votes drawn from them, both (n, 6)."""
    expected = rng.dirichlet(CLASS_MEANS * 2.5, n) * 0.97 + 0.005
    expected /= expected.sum(axis=1, keepdims=True)
    votes = np.stack([rng.multinomial(k, q) / k for k, q in zip(n_votes, expected, strict=True)])
    return expected, votes


def fake_model(rng: np.random.Generator, expected: np.ndarray, noise: float, sharpness: float = 1.0) -> np.ndarray:
    """Predictions that know something of the expected shares."""
    logits = sharpness * np.log(expected + 0.02) + rng.normal(0, noise, expected.shape)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def fake_eeg(rng: np.random.Generator, n: int = 10_000, rhythm: float = 1.2) -> np.ndarray:
    """A slow background with sharp waves, µV, (n, 20) float32."""
    slow = rng.normal(0, 1, (n, 20)).cumsum(axis=0)
    slow -= np.linspace(0, 1, n)[:, None] * slow[-1]
    time = np.arange(n) / 200
    waves = 60 * np.exp(-((((time * rhythm) % 1) - 0.3) ** 2) / 0.002)
    field = rng.uniform(0, 1, 20)
    return (0.4 * slow + waves[:, None] * field + rng.normal(0, 4, (n, 20))).astype(np.float32)


def make_fake_run(
    folder: Path, *, n_models: int = 4, n_patients: int = 130, n_folds: int = 5, seed: int = 0, recordings: bool = True
) -> tuple[Path, pd.DataFrame]:
    """Write stages 01 to 08 with ``stages.json``; return the folder and the truth table."""
    rng = np.random.default_rng(seed)
    n = n_patients * 5
    n_votes = rng.choice([1, 2, 3, 3, 3, 5, 11, 12, 14, 14, 16, 18], n)
    expected, votes = fake_votes(rng, n, n_votes)
    samples = pd.DataFrame(
        {
            "eeg_id": 1_000_000 + 37 * np.arange(n),
            "spectrogram_id": 5_000_000 + 41 * (np.arange(n) // 2),
            "patient_id": 100 + np.arange(n) // 5,
            "eeg_start": 400 * rng.integers(0, 3, n),
            "spectrogram_row": 0,
            "n_votes": n_votes,
        }
    )
    samples[list(VOTE_COLUMNS)] = votes
    folds = pd.DataFrame({"patient_id": samples["patient_id"].unique()})
    folds["fold"] = rng.permutation(np.arange(len(folds)) % n_folds)
    fold = samples["patient_id"].map(folds.set_index("patient_id")["fold"]).to_numpy()
    port = _port(folder, rng, samples[list(SAMPLE_COLUMNS)], folds)
    _images(folder, rng, n)
    members = [_model(folder, rng, index, samples, fold, expected, votes) for index in range(n_models)]
    if members:
        _others(folder, members[0])
        ensemble_stage(members, folder / "07_ensemble")
        _submission(folder, rng, [member.name for member in members])
    (folder / "stages.json").write_text(
        json.dumps(
            [
                {"stage": path.parent.name, "notebook": path.parent.name + ".ipynb", "seconds": 12.5, "status": "done"}
                for path in sorted(folder.glob("*/manifest.json"))
            ]
        )
    )
    truth = samples[["eeg_id", "eeg_start"]].assign(split="train")
    truth[[f"{name}_expected" for name in VOTE_COLUMNS]] = expected
    truth[list(VOTE_COLUMNS)] = np.rint(votes * n_votes[:, None]).astype(int)
    if recordings and members:
        _recordings(folder, rng, samples)
    assert port.is_dir()
    return folder, truth


def _port(folder: Path, rng: np.random.Generator, samples: pd.DataFrame, folds: pd.DataFrame) -> Path:
    port = folder / "01_port_data"
    port.mkdir(parents=True)
    samples.to_parquet(port / "samples.parquet")
    folds.to_parquet(port / "folds.parquet")
    quality = pd.DataFrame(
        {
            "eeg_id": samples["eeg_id"],
            "missing_share": rng.choice([0, 0, 0, 0.02], len(samples)),
            "flat_electrodes": rng.choice([0, 0, 0, 1], len(samples)),
            "median_sd_microvolt": rng.lognormal(2.7, 0.6, len(samples)),
            "mains_ratio_db": rng.normal(30, 12, len(samples)),
        }
    )
    quality.to_parquet(port / "quality.parquet")
    pd.DataFrame({"file": pd.Series(dtype=str), "problem": pd.Series(dtype=str)}).to_parquet(port / "faults.parquet")
    names = ["samples.parquet", "folds.parquet", "quality.parquet", "faults.parquet"]
    parameters = {"sampling": "vote_groups", "n_folds": 5, "seed": 0, "on_bad_file": "error"}
    write_manifest(port, port.name, inputs={}, parameters=parameters, outputs=names)
    return port


def _images(folder: Path, rng: np.random.Generator, n: int) -> None:
    base = np.linspace(0.8, -0.8, 128)[:, None, None] + np.zeros((128, 256, 4))
    for stage, name in (("02_eeg_spectrograms", "eeg_spectrograms"), ("03_assemble_inputs", "kaggle_images")):
        (folder / stage).mkdir()
        array = np.lib.format.open_memmap(
            folder / stage / f"{name}.npy", mode="w+", dtype=np.float16, shape=(n, 128, 256, 4)
        )
        array[:] = (base + rng.normal(0, 0.25, base.shape)).astype(np.float16)
        array.flush()
        write_manifest(folder / stage, stage, inputs={"01": "x"}, parameters={}, outputs=[f"{name}.npy"])


def _model(
    folder: Path,
    rng: np.random.Generator,
    index: int,
    samples: pd.DataFrame,
    fold: np.ndarray,
    expected: np.ndarray,
    votes: np.ndarray,
) -> Path:
    stage = folder / f"04_train_efficientnet-b{index}"
    stage.mkdir()
    predictions = fake_model(rng, expected, noise=0.7 + 0.1 * index, sharpness=rng.uniform(0.7, 1.2))
    table = oof_table(samples, samples["patient_id"], samples["n_votes"], fold, votes, predictions)
    files = [write_table(stage / "oof.parquet", table)]
    histories = []
    for number in np.unique(fold):
        files.append(write_table(stage / f"fold-{number}.oof.parquet", table[fold == number]))
        epochs = np.arange(1, 7)
        history = pd.DataFrame(
            {
                "fold": number,
                "seed": 0,
                "stage": 1,
                "epoch": epochs,
                "learning_rate": 1e-3,
                "loss": 1.3 * np.exp(-epochs / 4) + 0.3 + rng.normal(0, 0.02, 6),
                "val_kl": 1.1 * np.exp(-epochs / 4) + 0.5 + rng.normal(0, 0.03, 6),
                "val_kl_many_votes": 1.0 * np.exp(-epochs / 4) + 0.4 + rng.normal(0, 0.04, 6),
            }
        )
        histories.append(history)
    pd.concat(histories).to_csv(stage / "history.csv", index=False)
    folds = [int(number) for number in np.unique(fold)]
    recipe = load_recipe("demo", backbone=f"efficientnet_b{index}", folds=len(folds))
    outputs, parameters = [path.name for path in files], {"recipe": recipe.to_dict()}
    write_manifest(
        stage,
        TRAINED,
        inputs={"03": "x"},
        parameters=parameters,
        outputs=[*outputs, "history.csv"],
        facts={"folds": folds, "fits": {f"fold-{number}": fake_fit(index, number) for number in folds}},
    )
    return stage


def fake_fit(index: int, fold: int) -> dict[str, object]:
    """How a fit ran, as its record tells it: the first network's on GPUs, the second's on a CPU without memory told."""
    on_gpu = index == 0
    return {
        "device": str(fold % 2) if on_gpu else "default",
        "hardware": "Tesla T4" if on_gpu else "CPU",
        "precision": "mixed_float16" if on_gpu else "float32",
        "xla": "apply" if on_gpu else "off",
        "xla_note": "" if on_gpu else "XLA is for a single GPU; this fit runs without it",
        "trace_seconds": 31.25 + fold,
        "step_seconds": 0.0871,
        "images_per_second": 734.8,
        "peak_megabytes": 5120 if on_gpu else None,
        "begin": 1.0,
        "end": 2.0,
    }


def _others(folder: Path, member: Path) -> None:
    """What notebooks 05 and 06 leave beside their networks: nothing that a report may take for one."""
    store_comparison([member], folder / "05_kerascv")
    first = folder / "06_first_round_wavenet"
    shutil.copytree(member, first)
    write_manifest(first, FIRST_ROUND, inputs={}, parameters={}, outputs=["oof.parquet", "history.csv"])
    labels = folder / "06_pseudo_labels_wavenet"
    labels.mkdir()
    (labels / "labels.txt").write_text("none")
    write_manifest(labels, PSEUDO_LABELS, inputs={}, parameters={}, outputs=["labels.txt"])
    assert read_manifest(folder / "05_kerascv").stage == COMPARISON


def _submission(folder: Path, rng: np.random.Generator, members: list[str]) -> None:
    stage = folder / "08_submit"
    stage.mkdir()
    table = pd.DataFrame(rng.dirichlet(CLASS_MEANS * 3, 20), columns=list(VOTE_COLUMNS))
    table.insert(0, "eeg_id", np.arange(20))
    table.to_csv(stage / "submission.csv", index=False)
    facts = {"members": members, "left_out": [], "events": 1, "seconds": 31.0, "peak_megabytes": 1423.0}
    write_manifest(stage, stage.name, inputs={}, parameters={}, outputs=["submission.csv"], facts=facts)


def _recordings(folder: Path, rng: np.random.Generator, samples: pd.DataFrame) -> None:
    data = folder / "synthetic-hms"
    (data / "train_eegs").mkdir(parents=True)
    samples.to_csv(data / "train.csv", index=False)  # only its presence is asked for
    eeg = pd.DataFrame(fake_eeg(rng, 11_000), columns=list(EEG_COLUMNS))
    eeg.to_parquet(data / "template.parquet", index=False)
    for eeg_id in samples["eeg_id"]:
        (data / "train_eegs" / f"{eeg_id}.parquet").symlink_to(data / "template.parquet")
