"""The session's stock of sound inputs."""

from __future__ import annotations

import pytest

from tests.hostile import stock


@pytest.fixture(scope="session", autouse=True)
def stock_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Say where the stock lies."""
    stock.keep_at(tmp_path_factory.mktemp("stock"))
