"""The reader: quick, and strict on what belongs together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaclib.artefacts import digest_json, read_manifest
from hbaclib.errors import ArtefactError, ConfigError
from hbaclib.inputs.store import InputArrays, open_inputs
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.port import port_data
from tests.dataset.tiny import write_tiny

Folders = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("set")
    write_tiny(root / "data", n_eegs=8)
    port = port_data(root / "data", root, n_folds=2, n_jobs=1)
    return port, store_eeg_products(root / "data", port, root, n_jobs=1), store_kaggle_images(port, root, n_jobs=1)


@pytest.fixture
def copies(folders: Folders, tmp_path: Path) -> Folders:
    port, eeg, images = (Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in folders)
    return port, eeg, images


def test_gather_copies_the_rows_asked_for(folders: Folders) -> None:
    inputs = open_inputs(*folders)
    rows = np.array([5, 0, 5, 3])
    both = inputs.gather(rows)
    assert both.shape == (4, 128, 256, 8) and both.dtype == np.float32 and both.flags.c_contiguous
    np.testing.assert_array_equal(both[..., :4], np.load(folders[2] / "kaggle_images.npy")[rows])
    np.testing.assert_array_equal(both[..., 4:], np.load(folders[1] / "eeg_spectrograms.npy")[rows])
    np.testing.assert_array_equal(inputs.gather(rows, "kaggle"), both[..., :4])
    np.testing.assert_array_equal(inputs.gather(rows, "eeg"), both[..., 4:])
    raw = inputs.gather(rows, "raw")
    assert raw.shape == (4, 2000, 8) and raw.dtype == np.float32
    np.testing.assert_array_equal(raw, np.load(folders[1] / "raw_signals.npy")[rows])
    raw[:] = 0  # a copy: what is stored stays
    assert inputs.gather(rows, "raw").any()
    with pytest.raises(ConfigError, match="inputs is 'image', expected one of both, kaggle, eeg, both_absolute"):
        inputs.gather(rows, "image")


def test_every_sample_has_a_fold(folders: Folders) -> None:
    inputs = open_inputs(*folders)
    assert inputs.samples["patient_id"].map(inputs.folds).notna().all()
    assert inputs.folds.index.name == "patient_id"


def test_opening_reads_no_array(folders: Folders) -> None:
    inputs = open_inputs(*folders)
    for name in ("kaggle", "eeg", "raw", "spectrogram_rows"):
        assert isinstance(getattr(inputs, name), np.memmap), name


def test_the_digest_changes_with_the_content_only(folders: Folders, copies: Folders) -> None:
    assert open_inputs(*copies).digest == open_inputs(*folders).digest != digest_json([])


def test_unfinished_stages_are_not_read(copies: Folders) -> None:
    (copies[1] / "manifest.json").unlink()
    with pytest.raises(ArtefactError, match="02_eeg_spectrograms has not finished"):
        open_inputs(*copies)


def test_stages_made_from_other_samples_are_refused(folders: Folders, copies: Folders) -> None:
    root = copies[0].parent
    other = port_data(folders[0].parent / "data", root / "other", n_folds=2, sampling="non_overlapping", n_jobs=1)
    with pytest.raises(ArtefactError, match="02_eeg_spectrograms: made from another 01_port_data"):
        open_inputs(other, copies[1], copies[2])
    images = store_kaggle_images(other, root / "other", n_jobs=1)
    with pytest.raises(ArtefactError, match="03_assemble_inputs: made from another 01_port_data"):
        open_inputs(copies[0], copies[1], images)


def test_tables_that_the_stage_did_not_write_are_refused(copies: Folders) -> None:
    """Rows in another order would be trained with the labels of others."""
    path = copies[0] / "samples.parquet"
    table = pd.read_parquet(path)
    table.iloc[::-1].reset_index(drop=True).to_parquet(path, index=False)
    with pytest.raises(ArtefactError, match=r"samples\.parquet: not the table that 01_port_data wrote"):
        open_inputs(*copies)


def test_the_way_of_sampling_is_known(folders: Folders) -> None:
    assert open_inputs(*folders).sampling == read_manifest(folders[0]).parameters["sampling"]


def test_cut_or_missing_arrays_are_refused(copies: Folders) -> None:
    path = copies[2] / "kaggle_images.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtefactError, match=r"kaggle_images\.npy: not a whole array"):
        open_inputs(*copies)
    path.unlink()
    with pytest.raises(ArtefactError, match=r"kaggle_images\.npy: not a whole array"):
        open_inputs(*copies)
    np.save(path, np.zeros((3, 128, 256, 4), np.float16))
    with pytest.raises(ArtefactError, match=r"3 rows, the samples table has"):
        open_inputs(*copies)
    (copies[0] / "samples.parquet").unlink()
    with pytest.raises(ArtefactError, match="run 01_port_data again"):
        open_inputs(*copies)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_arrays_of_the_right_shape_that_the_stage_did_not_write_are_told(copies: Folders, stage: int) -> None:
    inputs = open_inputs(*copies)
    inputs.verify()
    path = copies[stage] / ("spectrogram_rows.npy", "eeg_spectrograms.npy", "kaggle_images.npy")[stage]
    array = np.load(path)
    array[-1] = array[0] + 1
    np.save(path, array)
    with pytest.raises(ArtefactError, match=rf"{copies[stage].name}: missing or changed .*{path.name}"):
        open_inputs(*copies).verify()


def test_arrays_are_read_once_for_all_that_is_trained_on_them(copies: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr("hbaclib.inputs.store.verify", read.append)
    for _ in range(2):
        open_inputs(*copies).verify()
    assert read == list(copies)
    os.utime(copies[1] / "raw_signals.npy")
    open_inputs(*copies).verify()
    assert read == [*copies, copies[1]]


def test_memory_of_a_batch_is_used_again_but_not_while_anything_refers_to_it():
    rng = np.random.default_rng(0)
    halves = [rng.standard_normal((6, 128, 256, 4)).astype(np.float16) for _ in range(2)]
    inputs = InputArrays(None, None, "", *halves, halves[0])

    def gather(first):
        rows = np.array([first, first + 1])
        batch = inputs.gather(rows, "both", np.float16)
        assert batch.ctypes.data % 64 == 0
        np.testing.assert_array_equal(batch, np.concatenate([half[rows] for half in halves], axis=-1))
        return batch

    batch = gather(0)
    place, kept = batch.ctypes.data, batch[1:, ::-1]
    expected = kept.copy()
    del batch
    others = [gather(first) for first in (1, 2, 3)]
    assert place not in {other.ctypes.data for other in others}
    np.testing.assert_array_equal(kept, expected)
    del kept
    assert gather(4).ctypes.data == place
    assert inputs.gather(np.arange(3)).shape == (3, 128, 256, 8)
