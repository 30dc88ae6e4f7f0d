"""A wheel is built once a process from the same sources: its build by pip is most of what building kernels takes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hbaclib.kaggle import wheels

build_wheel = wheels.project_wheel


@pytest.fixture(scope="session", autouse=True)
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels that are built from the same sources get copies of one wheel."""
    built: dict[str, Path] = {}

    def copied(root: Path, folder: Path) -> Path:
        sources = [path for pattern in ("hbaclib/**/*.*", *wheels.SOURCES) for path in sorted(Path(root).glob(pattern))]
        digest = hashlib.sha256()
        for path in (path for path in sources if path.is_file() and "__pycache__" not in path.parts):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
        if (key := digest.hexdigest()) not in built:
            built[key] = build_wheel(root, tmp_path_factory.mktemp("wheel"))
        return Path(shutil.copy2(built[key], folder))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheels, "project_wheel", copied)
        yield


@pytest.fixture
def built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the build itself."""
    monkeypatch.setattr(wheels, "project_wheel", build_wheel)
