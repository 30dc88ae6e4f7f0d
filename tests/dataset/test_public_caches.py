"""Public caches are pickles: read only by who says so."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hbaclib.dataset.public_caches import read_eeg_specs, read_specs
from hbaclib.errors import ConfigError, DataFileError


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_eeg_planes_are_put_into_our_order(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((128, 256, 4)).astype(np.float32)
    np.save(tmp_path / "eeg_specs.npy", {7: image})
    found = read_eeg_specs(tmp_path / "eeg_specs.npy", allow_pickle=True)
    # Ours is LL, RL, LP, RP; theirs LL, LP, RL, RP.
    np.testing.assert_array_equal(found[7], image[..., [0, 2, 1, 3]])


def test_spectrogram_rows_keep_their_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((320, 400)).astype(np.float32)
    np.save(tmp_path / "specs.npy", {9: rows})
    found = read_specs(tmp_path / "specs.npy", allow_pickle=True)
    np.testing.assert_array_equal(found[9], rows)


@pytest.mark.parametrize("read", [read_eeg_specs, read_specs])
def test_nothing_is_unpickled_without_leave(tmp_path: Path, read) -> None:
    np.save(tmp_path / "cache.npy", np.array(Trap(tmp_path / "sprung"), dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match="unpickling runs whatever code its author put into it"):
        read(tmp_path / "cache.npy")
    assert not (tmp_path / "sprung").exists()


def test_other_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cache.npy"
    np.save(path, {1: np.zeros((300, 399))})
    with pytest.raises(DataFileError, match=r"entry 1 has shape \(300, 399\), expected \(None, 400\)"):
        read_specs(path, allow_pickle=True)
    np.save(path, np.zeros(3))
    with pytest.raises(DataFileError, match="not a pickled dictionary"):
        read_specs(path, allow_pickle=True)
    path.write_bytes(b"spoilt")
    with pytest.raises(DataFileError, match="not a pickled dictionary"):
        read_specs(path, allow_pickle=True)
    np.save(path, np.array([1], dtype=object), allow_pickle=True)
    with pytest.raises(DataFileError, match="found int, expected a dictionary"):
        read_specs(path, allow_pickle=True)
