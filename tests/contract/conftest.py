"""What the contract suites run against: every implementation of each port, and both SQL databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database, open_database
from storage.migrate import migrate


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'main.db'}"
    return str(request.getfixturevalue("postgresql_database"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A main store with its tables."""
    migrate(database_url)
    opened = open_database(database_url)
    yield opened
    opened.close()
