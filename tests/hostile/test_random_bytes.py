"""Random changes of bytes in everything that is loaded: what comes of it is our own error, or the right answer."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hbaclib import load_oof, load_recipe, read_eeg
from hbaclib.ensemble.store import load_ensemble
from hbaclib.errors import HbacError
from hbaclib.training.trained_folder import TrainedFolder
from tests.hostile import stock

CHANGES = 100
"""For each of the five kinds of files."""


def flip(content: bytearray, place: int, rng: np.random.Generator) -> None:
    content[place] ^= 1 << int(rng.integers(8))


def overwrite(content: bytearray, place: int, rng: np.random.Generator) -> None:
    run = rng.bytes(int(rng.integers(1, 40)))
    content[place : place + len(run)] = run


def delete(content: bytearray, place: int, rng: np.random.Generator) -> None:
    del content[place : place + int(rng.integers(1, 40))]


def insert(content: bytearray, place: int, rng: np.random.Generator) -> None:
    content[place:place] = rng.bytes(int(rng.integers(1, 40)))


def cut(content: bytearray, place: int, rng: np.random.Generator) -> None:
    del content[place:]


WAYS = (flip, overwrite, delete, insert, cut)


def everywhere(path: Path) -> list[tuple[int, int]]:
    return [(0, path.stat().st_size)]


def headers(path: Path) -> list[tuple[int, int]]:
    """The parts of a Parquet file that say how to read it: magic numbers, the headers of its pages, the footer."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(-8, 2)
        footer = struct.unpack("<I", file.read(4))[0]
    places = [(0, 4), (size - footer - 8, size)]
    for number in range(4):
        column = pq.read_metadata(path).row_group(0).column(number)
        for start in (column.dictionary_page_offset, column.data_page_offset):
            places += [(start, start + 16)] if start else []
    return places


def values(table: Any) -> bytes:
    return table.to_csv().encode()


def network_of(folder: Path) -> Any:
    """What decides a network's answers: its recipe, the folds, the bytes of its weights."""
    trained = TrainedFolder.open(folder)
    return (
        trained.recipe,
        trained.folds,
        [path.read_bytes() for fold in trained.folds for path in trained.weights(fold)],
    )


def ensemble_of(folder: Path) -> Any:
    stored = load_ensemble(folder)
    return stored.names, stored.weights, stored.pool.temperature, stored.pool.biases.tolist(), stored.prior.tolist()


def out_of_fold_of(folder: Path) -> Any:
    return values(TrainedFolder.open(folder).oof()), load_oof(folder).predictions.tobytes()


KINDS: dict[str, tuple[str, str, Callable[[Path], Any], Callable[[Path], Any]]] = {
    "manifests": ("eeg", "manifest.json", network_of, everywhere),
    "recipes": ("eeg", "recipe.toml", lambda folder: load_recipe(folder / "recipe.toml"), everywhere),
    "ensembles": ("07_ensemble", "ensemble.json", ensemble_of, everywhere),
    "weights": ("eeg", "fold-1.weights.h5", network_of, everywhere),
    "out-of-fold tables": ("eeg", "fold-0.oof.parquet", out_of_fold_of, headers),
}


def try_changes(path: Path, door: Callable[[], Any], places: list[tuple[int, int]], seed: int) -> Counter[str]:
    """Change a file CHANGES times, each time from the sound one, and hold the door's answers to the right one."""
    rng, sound, right, found = np.random.default_rng(seed), path.read_bytes(), door(), Counter[str]()
    for number in range(CHANGES):
        content, way = bytearray(sound), WAYS[number % len(WAYS)]
        place = int(rng.integers(*places[rng.integers(len(places))]))
        way(content, place, rng)
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = door()
        except HbacError as error:
            found["refused"] += 1
            assert str(error)
        else:
            found["right"] += 1
            assert answer == right, f"{path.name}: another answer after {way.__name__} at {place}, seed {seed}"
    path.write_bytes(sound)
    assert door() == right
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_are_refused_or_do_not_matter(kind: str, tmp_path: Path) -> None:
    name, file, door, places = KINDS[kind]
    folder = stock.run(tmp_path) / name
    found = try_changes(folder / file, lambda: door(folder), places(folder / file), 1)
    assert found["refused"] > CHANGES / 2, found


def test_changed_headers_of_a_recording(tmp_path: Path) -> None:
    path = stock.recording(tmp_path)
    found = try_changes(path, lambda: read_eeg(path).tobytes(), headers(path), 2)
    assert found["refused"] > CHANGES / 2, found
