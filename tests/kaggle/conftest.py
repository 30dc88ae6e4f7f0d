"""The checkout's wheel is built once a process: its build by pip is most of what building kernels takes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hbaclib.kaggle import wheels

ROOT = Path(__file__).parents[2]
build_wheel = wheels.project_wheel


@pytest.fixture(scope="session", autouse=True)
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels that are built from the checkout get a copy of the one wheel."""
    built: list[Path] = []

    def copied(root: Path, folder: Path) -> Path:
        if Path(root).resolve() != ROOT:
            return build_wheel(root, folder)
        if not built:
            built.append(build_wheel(ROOT, tmp_path_factory.mktemp("wheel")))
        return Path(shutil.copy2(built[0], folder))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheels, "project_wheel", copied)
        yield


@pytest.fixture
def built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the build itself."""
    monkeypatch.setattr(wheels, "project_wheel", build_wheel)
