"""The session's stock of sound inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import stock


@pytest.fixture(scope="session", autouse=True)
def stock_of_the_session(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> None:
    """Say where the stock lies."""
    stock.keep_at(tmp_path_factory.mktemp("stock"), tiny_run)
