"""Stages 01 to 03 from files to arrays, on tiny sets and on real recordings."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from hbaclib import (
    assemble_input,
    kaggle_spectrogram,
    patient_folds,
    read_eeg,
    read_spectrogram,
    spectrogram_image,
    vote_group_samples,
)
from hbaclib.artefacts import read_manifest
from hbaclib.conventions import CLASSES, SAMPLE_COLUMNS, TRAIN_COLUMNS
from hbaclib.dataset.competition import open_competition
from hbaclib.dataset.from_eeg import rows_from_eeg
from hbaclib.digests import data_digest
from hbaclib.errors import ArtefactError, ConfigError, DataFileError
from hbaclib.inputs.store import open_inputs
from hbaclib.signal.raw import raw_signals
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.port import port_data
from tests.dataset.tiny import random_eeg, write_eeg, write_tiny

ARRAYS = (
    "01_port_data/spectrogram_rows.npy",
    "02_eeg_spectrograms/eeg_spectrograms.npy",
    "02_eeg_spectrograms/raw_signals.npy",
    "03_assemble_inputs/kaggle_images.npy",
)


def run_stages(source: Path, out: Path, n_jobs: int | None = 1, **parameters) -> tuple[Path, Path, Path]:
    port = port_data(source, out, n_jobs=n_jobs, **{"n_folds": 3, **parameters})
    eeg = store_eeg_products(source, port, out, n_jobs=n_jobs)
    return port, eeg, store_kaggle_images(port, out, n_jobs=n_jobs)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ARRAYS}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    write_tiny(root, n_eegs=20)
    return root


@pytest.fixture(scope="module")
def stages(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return run_stages(tiny, tmp_path_factory.mktemp("out"))


def test_tables(tiny: Path, stages: tuple[Path, Path, Path]) -> None:
    port, train = stages[0], open_competition(tiny).train
    samples = pd.read_parquet(port / "samples.parquet")
    pd.testing.assert_frame_equal(samples, vote_group_samples(train))
    assert list(samples.columns) == list(SAMPLE_COLUMNS)
    folds = pd.read_parquet(port / "folds.parquet").set_index("patient_id")["fold"]
    pd.testing.assert_series_equal(folds, patient_folds(train, 3, 0))
    quality = pd.read_parquet(port / "quality.parquet")
    assert quality["eeg_id"].tolist() == sorted(train["eeg_id"].unique())
    faults = pd.read_parquet(port / "faults.parquet")
    assert faults.empty and list(faults.columns) == ["file", "problem"]


def test_spectrogram_rows_are_all_rows_of_all_files(tiny: Path, stages: tuple[Path, Path, Path]) -> None:
    rows = np.load(stages[0] / "spectrogram_rows.npy", mmap_mode="r")
    index = pd.read_parquet(stages[0] / "spectrogram_index.parquet")
    assert rows.dtype == np.float16 and index["n_rows"].sum() == len(rows)
    for entry in index.itertuples():
        power = read_spectrogram(tiny / f"train_spectrograms/{entry.spectrogram_id}.parquet")
        stored = rows[entry.start : entry.start + entry.n_rows]
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(stored, np.log(power).astype(np.float16))
        assert np.array_equal(np.exp(stored.astype(np.float32)) == 0, power == 0)


def test_every_input_is_that_of_its_windows(tiny: Path, stages: tuple[Path, Path, Path]) -> None:
    """What the three dtypes cost: at most 2e-3 in an image (about -3 .. 3), 0.016 in a raw signal (-32 .. 32)."""
    inputs = open_inputs(*stages)
    everything = inputs.gather(np.arange(len(inputs)))
    raw = inputs.gather(np.arange(len(inputs)), "raw")
    for row, sample in inputs.samples.iterrows():
        eeg = read_eeg(tiny / f"train_eegs/{int(sample.eeg_id)}.parquet")
        window = eeg[int(sample.eeg_start) : int(sample.eeg_start) + 10_000]
        power = read_spectrogram(tiny / f"train_spectrograms/{int(sample.spectrogram_id)}.parquet")
        ten_minutes = power[int(sample.spectrogram_row) : int(sample.spectrogram_row) + 300]
        exact = assemble_input(ten_minutes, window)
        np.testing.assert_allclose(everything[row, ..., :4], exact[..., :4], atol=2e-3)
        np.testing.assert_allclose(everything[row, ..., 4:], exact[..., 4:], atol=5e-4)
        np.testing.assert_allclose(raw[row], raw_signals(window), atol=0.016)


def test_the_logarithm_in_float16_costs_at_most_two_thousandths_of_the_power() -> None:
    power = np.exp(np.linspace(-4, 8, 100_001)).astype(np.float32)
    stored = np.exp(np.log(power).astype(np.float16).astype(np.float32))
    assert np.abs(stored / power - 1).max() < 2.0e-3
    assert np.isinf(np.float32(206_415).astype(np.float64)) == np.isinf(np.log(np.float32(206_415)).astype(np.float16))
    with np.errstate(over="ignore"):
        assert np.isinf(np.float16(206_415)), "the power itself does not fit float16"


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_bytes_do_not_depend_on_the_number_of_processes(
    tiny: Path, stages: tuple[Path, Path, Path], tmp_path: Path, n_jobs: int
) -> None:
    run_stages(tiny, tmp_path, n_jobs=n_jobs)
    assert contents(tmp_path) == contents(stages[0].parent)


def test_a_finished_stage_is_recognised_by_content(tiny: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny, tmp_path / "data"))
    folders = run_stages(source, tmp_path / "out")
    times = [(folder / "manifest.json").stat().st_mtime_ns for folder in folders]
    for path in source.rglob("*"):
        os.utime(path)
    assert run_stages(source, tmp_path / "out") == folders
    assert [(folder / "manifest.json").stat().st_mtime_ns for folder in folders] == times
    before = data_digest(source, "train")
    write_eeg(source / "train_eegs/1000.parquet", random_eeg(np.random.default_rng(99), 10_800))
    assert data_digest(source, "train") != before
    run_stages(source, tmp_path / "out")
    after = [(folder / "manifest.json").stat().st_mtime_ns for folder in folders]
    assert all(new > old for new, old in zip(after[:2], times[:2], strict=True))


def test_an_array_changed_by_hand_is_made_again(tiny: Path, tmp_path: Path) -> None:
    _, eeg, _ = run_stages(tiny, tmp_path)
    whole = (eeg / "raw_signals.npy").read_bytes()
    (eeg / "raw_signals.npy").write_bytes(whole[:-2] + b"xx")
    run_stages(tiny, tmp_path)
    assert (eeg / "raw_signals.npy").read_bytes() == whole


def test_other_parameters_make_another_stage(tiny: Path, tmp_path: Path) -> None:
    port = port_data(tiny, tmp_path, n_folds=3, n_jobs=1)
    first = read_manifest(port).digest
    port_data(tiny, tmp_path, n_folds=3, sampling="non_overlapping", n_jobs=1)
    assert read_manifest(port).digest != first
    assert len(pd.read_parquet(port / "samples.parquet")) == 20
    assert not list(port.glob(".*"))


@pytest.mark.parametrize("parameter", ["sampling", "spectrograms", "on_bad_file"])
def test_unknown_values_are_refused(tiny: Path, tmp_path: Path, parameter: str) -> None:
    with pytest.raises(ConfigError, match=f"{parameter} is 'x', expected one of"):
        port_data(tiny, tmp_path, **{parameter: "x"})
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_all_listed_and_skipped_only_on_demand(tiny: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny, tmp_path / "data"))
    (source / "train_eegs/1003.parquet").write_bytes(b"PAR1 spoilt")
    (source / "train_spectrograms/504.parquet").unlink()
    with pytest.raises(DataFileError, match=r"2 faulty files") as error:
        port_data(source, tmp_path / "out", n_folds=3, n_jobs=1)
    assert "train_eegs/1003.parquet: not a whole" in str(error.value)
    assert "train_spectrograms/504.parquet: no such file" in str(error.value)
    port = tmp_path / "out/01_port_data"
    assert len(pd.read_parquet(port / "faults.parquet")) == 2
    assert not (port / "manifest.json").exists()
    folders = run_stages(source, tmp_path / "out", on_bad_file="skip")
    inputs = open_inputs(*folders)
    left = set(inputs.samples["eeg_id"])
    assert left == set(range(1000, 1020)) - {1003, 1008, 1009}
    assert inputs.folds.equals(patient_folds(open_competition(source).train, 3)), "folds do not move"
    assert len(pd.read_parquet(port / "faults.parquet")) == 2


def test_nothing_is_left_when_all_files_are_bad(tmp_path: Path) -> None:
    write_tiny(tmp_path / "data", n_eegs=8)
    for path in (tmp_path / "data/train_eegs").iterdir():
        path.write_bytes(b"spoilt")
    with pytest.raises(DataFileError, match="no sample is left"):
        port_data(tmp_path / "data", tmp_path / "out", n_folds=2, on_bad_file="skip", n_jobs=1)


def test_reordered_files_are_taken_and_said_once(tmp_path: Path) -> None:
    write_tiny(tmp_path / "data", n_eegs=8)
    for name in (1001, 1002):
        path = tmp_path / f"data/train_eegs/{name}.parquet"
        pd.read_parquet(path).iloc[:, ::-1].to_parquet(path, index=False)
    with pytest.warns(UserWarning, match=r"1001\.parquet.*reordered by name \(2 such files in all\)"):
        port_data(tmp_path / "data", tmp_path / "out", n_folds=2, n_jobs=1)


def test_an_unwritable_output_folder(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ArtefactError, match="out: cannot write there"):
        port_data(tiny, tmp_path / "out", n_folds=3, n_jobs=1)


def test_spectrograms_from_eeg_lie_at_their_place(tmp_path: Path) -> None:
    """Ten minutes of one EEG, cut into windows: the computed rows are those of the whole, away from the cuts."""
    rng = np.random.default_rng(5)
    whole = random_eeg(rng, 120_000)
    reference = kaggle_spectrogram(whole)
    for begin, n_samples, first, last in ((275, 10_000, 138, 161), (200, 40_000, 100, 199), (0, 120_000, 0, 299)):
        path = tmp_path / "eeg.parquet"
        write_eeg(path, whole[200 * begin : 200 * begin + n_samples])
        rows = rows_from_eeg(300, [(str(path), float(begin))])
        there = np.flatnonzero(np.isfinite(rows).all(axis=1))
        assert (there[0], there[-1], len(there)) == (first, last, last - first + 1)
        inner = slice(first + 4, last - 3)
        np.testing.assert_allclose(rows[inner], reference[inner], rtol=0.02, atol=0.02)
    centre = rows_from_eeg_of(tmp_path, whole[55_000:65_000], 275.0)
    np.testing.assert_array_equal(centre[138:162], kaggle_spectrogram(whole[55_000:65_000], first_centre=2.0))
    assert np.isnan(centre[:138]).all() and np.isnan(centre[162:]).all()


def rows_from_eeg_of(folder: Path, eeg: np.ndarray, begin: float) -> np.ndarray:
    write_eeg(folder / "cut.parquet", eeg)
    return rows_from_eeg(300, [(str(folder / "cut.parquet"), begin)])


def test_a_set_without_spectrograms_runs_through(tmp_path: Path) -> None:
    write_tiny(tmp_path / "data", n_eegs=8, spectrograms=False)
    folders = run_stages(tmp_path / "data", tmp_path / "out", n_folds=2)
    inputs = open_inputs(*folders)
    sample = inputs.samples.iloc[0]
    places = [(str(tmp_path / "data/train_eegs/1000.parquet"), 275.0)]
    places += [(str(tmp_path / "data/train_eegs/1001.parquet"), 335.0)]
    rows = rows_from_eeg(332, places)
    start = int(sample.spectrogram_row)
    np.testing.assert_allclose(
        inputs.gather(np.array([0]), "kaggle")[0], spectrogram_image(rows[start : start + 300]), atol=2e-3
    )
    assert np.isfinite(inputs.gather(np.arange(len(inputs)))).all()


def test_from_eeg_ignores_the_files(tiny: Path, tmp_path: Path) -> None:
    port = port_data(tiny, tmp_path, n_folds=3, spectrograms="from_eeg", n_jobs=1)
    assert np.isnan(np.load(port / "spectrogram_rows.npy")[:130]).all()


def pair_real(real_data: Path, root: Path) -> None:
    """A set around real recordings: every spectrogram is paired with an EEG, which is of another patient in truth."""
    for kind in ("train_eegs", "train_spectrograms"):
        shutil.copytree(real_data / kind, root / kind)
    eegs = pd.read_csv(real_data / "eeg_labels.csv")
    votes = pd.read_csv(real_data / "spectrogram_votes.csv")
    rows = []
    for index, label in enumerate(eegs.itertuples()):
        spectrogram = votes.iloc[index]
        rows.append((label.eeg_id, 0, 0.0, spectrogram["spectrogram_id"], 0, 0.0, index, 100 + index,
                     label.expert_consensus, *spectrogram.iloc[1:]))  # fmt: skip
    pd.DataFrame(rows, columns=list(TRAIN_COLUMNS)).to_csv(root / "train.csv", index=False)


@pytest.mark.parametrize("spectrograms", ["files", "from_eeg"])
def test_real_recordings_run_through(real_data: Path, tmp_path: Path, spectrograms: str) -> None:
    pair_real(real_data, tmp_path / "data")
    folders = run_stages(tmp_path / "data", tmp_path / "out", spectrograms=spectrograms, n_jobs=2)
    inputs = open_inputs(*folders)
    assert len(inputs) == len(CLASSES)
    images = inputs.gather(np.arange(6))
    assert np.isfinite(images).all() and images.shape == (6, 128, 256, 8)
    assert (images[..., :4].std(axis=(1, 2)) > 0.05).all() and (images[..., 4:].std(axis=(1, 2)) > 0.05).all()
    assert (inputs.gather(np.arange(6), "raw").std(axis=(1, 2)) > 0.05).all()
    if spectrograms == "files":
        row = inputs.samples.index[0]
        sample = inputs.samples.loc[row]
        window = read_spectrogram(real_data / f"train_spectrograms/{int(sample.spectrogram_id)}.parquet")
        np.testing.assert_allclose(images[row, ..., :4], spectrogram_image(window[:300]), atol=2e-3)


_RUN = """
import sys
from pathlib import Path
from tests.stages.test_port import run_stages
run_stages(Path(sys.argv[1]), Path(sys.argv[2]), n_jobs=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.evidence)])
def test_killed_at_random_moments_the_arrays_are_the_same_bytes(tmp_path: Path, kills: int) -> None:
    write_tiny(tmp_path / "data", n_eegs=20 * kills, rows_per_eeg=2)
    port = port_data(tmp_path / "data", tmp_path / "whole", n_folds=3, n_jobs=2)
    begin = time.monotonic()
    store_eeg_products(tmp_path / "data", port, tmp_path / "whole", n_jobs=2)
    seconds = time.monotonic() - begin
    store_kaggle_images(port, tmp_path / "whole", n_jobs=2)
    shutil.copytree(port, tmp_path / "killed/01_port_data")
    command = [sys.executable, "-c", _RUN, str(tmp_path / "data"), str(tmp_path / "killed")]
    stage = tmp_path / "killed/02_eeg_spectrograms"
    moments, on_the_way = random.Random(0), 0
    for _ in range(kills):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        # The moment counts from the first file: before it the interpreter starts.
        while not stage.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            process.wait(moments.uniform(0.0, 0.3 * seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        on_the_way += not (stage / "manifest.json").exists()
        if (stage / "manifest.json").exists():
            shutil.rmtree(stage)
    assert on_the_way >= kills / 2, "most kills fall into the stage"
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not list(stage.glob(".*"))


@pytest.mark.evidence
def test_the_same_bytes_on_a_dask_cluster(tiny: Path, stages: tuple[Path, Path, Path], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        assert os.getpid() not in client.run(os.getpid).values()
        run_stages(tiny, tmp_path, n_jobs=None)
    assert contents(tmp_path) == contents(stages[0].parent)
