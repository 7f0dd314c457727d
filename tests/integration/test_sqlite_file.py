"""One SQLite file: opened for the first time while somebody else is at it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import DependencyError
from storage.database import open_database
from storage.sqlite_file import SqliteFile

SCHEMA = "CREATE TABLE IF NOT EXISTS seen (number INTEGER)"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody in mid-transaction on a new file that is not in write-ahead mode yet."""
    connection = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE first (number INTEGER)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO first VALUES (1)")
    yield connection
    connection.close()


def test_who_opens_second_waits_for_who_opened_first(writer: sqlite3.Connection, tmp_path: Path) -> None:
    done = threading.Timer(0.05, writer.execute, ["COMMIT"])
    done.start()
    file = SqliteFile(tmp_path / "new.db", SCHEMA)
    done.join()
    with file.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("SELECT number FROM first").fetchall() == [(1,)]
    file.close()


def test_the_main_store_waits_as_well(writer: sqlite3.Connection, tmp_path: Path) -> None:
    done = threading.Timer(0.05, writer.execute, ["COMMIT"])
    done.start()
    database = open_database(f"sqlite:///{tmp_path / 'new.db'}")
    with database.read() as connection:
        assert connection.execute(text("SELECT number FROM first")).scalar() == 1
    done.join()
    database.close()


def test_a_file_that_stays_locked_is_a_dependency_that_is_away(
    writer: sqlite3.Connection, tmp_path: Path
) -> None:
    with pytest.raises(DependencyError, match=r"new\.db: database is locked"):
        SqliteFile(tmp_path / "new.db", SCHEMA, busy_timeout_s=0.02)
