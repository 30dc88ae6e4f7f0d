"""A shipped model by its name: where its files are found, and what is said when they are not what was packed_model."""

import shutil
from pathlib import Path

import pytest

from hbaclib.artefacts import MANIFEST, read_manifest
from hbaclib.errors import ArtefactError
from hbaclib.stages.places import SHIPPED
from hbaclib.stages.shipped import (
    PackageError,
    damage_told,
    digest_of,
    folder_of,
    is_shipped,
    shipped_networks,
    shipped_root,
)
from tests.made_shipped import IMAGE, IMAGE_FOLDER, WAVES_FOLDER, make_shipped


def test_a_text_that_is_a_name_is_the_model_and_all_else_a_folder(shipped):
    assert is_shipped("synthetic")
    for folder in ("./synthetic", "synthetic/", "../synthetic", str(shipped), Path("synthetic"), "Synthetic", "", None):
        assert not is_shipped(folder)
    assert folder_of("synthetic") == shipped / "07_ensemble"
    assert folder_of("./synthetic") == Path("synthetic") and folder_of(shipped) == shipped
    assert [path.name for path in shipped_networks("synthetic")] == [IMAGE_FOLDER, WAVES_FOLDER]


def test_its_digest_is_that_of_all_its_networks(shipped, packed_model, tmp_path, monkeypatch):
    before = digest_of("synthetic")
    assert digest_of(shipped / "07_ensemble") == read_manifest(shipped / "07_ensemble").digest != before
    monkeypatch.setitem(SHIPPED, "synthetic", Path(shutil.copytree(packed_model, tmp_path / "elsewhere")))
    assert digest_of("synthetic") == before
    for name, made in {"others": {"seed": 1}, "one": {"networks": {IMAGE_FOLDER: IMAGE}}}.items():
        monkeypatch.setitem(SHIPPED, "synthetic", make_shipped(tmp_path / name, **made))
        assert digest_of("synthetic") != before


def test_a_package_without_the_model_says_so(shipped):
    shutil.rmtree(shipped)
    for door in (shipped_root, folder_of, shipped_networks, digest_of):
        with pytest.raises(PackageError, match=r"'synthetic' is not in this installation .*make builtin"):
            door("synthetic")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "07_ensemble" / MANIFEST).unlink(), r"07_ensemble/manifest\.json: missing\)"),
        (lambda root: shutil.rmtree(root / "07_ensemble"), "ensemble: no such folder"),
        (lambda root: shutil.rmtree(root / WAVES_FOLDER), f"{WAVES_FOLDER}: no such folder"),
        (lambda root: (root / IMAGE_FOLDER / MANIFEST).write_text("{"), "not a readable manifest"),
        (lambda root: (root / IMAGE_FOLDER / MANIFEST).write_bytes(b""), "not a readable manifest"),
        (lambda root: _swap(root, IMAGE_FOLDER, WAVES_FOLDER), "another network"),
        (lambda root: _swap(root, "07_ensemble", IMAGE_FOLDER), "holds stage"),
    ],
)
def test_damage_names_the_file_and_what_mends_it(shipped, spoil, message):
    spoil(shipped)
    for door in (shipped_networks, digest_of):
        with pytest.raises(PackageError, match=message) as caught:
            door("synthetic")
        told = str(caught.value)
        assert told.startswith("the built-in model 'synthetic' is damaged (") and "again" not in told.split(")")[0]
        assert told.endswith("install hbaclib again (pip install --force-reinstall --no-deps hbaclib)")


def _swap(shipped, one, other):
    (shipped / one).rename(shipped / "aside")
    (shipped / other).rename(shipped / one)
    (shipped / "aside").rename(shipped / other)


def test_faults_of_other_folders_stay_as_they_are(shipped):
    with pytest.raises(ArtefactError, match=r"^mine: torn; train again$") as caught, damage_told(shipped):
        raise ArtefactError("mine: torn; train again")
    assert not isinstance(caught.value, PackageError)
    with pytest.raises(ZeroDivisionError), damage_told("synthetic"):
        raise ZeroDivisionError
