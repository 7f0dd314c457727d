"""Transactions, errors and migrations of the main store, against SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text

from core.errors import ConflictError, DependencyError, InvalidInputError, InvalidSettingError
from storage.database import Database, open_database
from storage.migrate import migrate, revision_of
from storage.releases import append_event, events_of
from storage.tables import SCHEMAS, metadata, release_events
from storage.videos import Video, all_videos, upsert_videos
from tests.support import free_port

VIEWS = {"watch_history", "likes", "comments", "searches", "subscriptions"}


def names_in(connection: Connection) -> set[str]:
    inspector = inspect(connection)
    schemas: Sequence[str | None] = SCHEMAS if connection.dialect.name == "postgresql" else [None]
    return {
        name
        for schema in schemas
        if schema in {None, *inspector.get_schema_names()}
        for name in [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    } - {"alembic_version"}


def tables_without_schemas() -> MetaData:
    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(copy, schema=None)  # type: ignore[arg-type]  # as its documentation says
    return copy


def test_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    on_postgresql = database.dialect == "postgresql"
    wanted = metadata if on_postgresql else tables_without_schemas()
    options = {
        "include_schemas": on_postgresql,
        "include_name": lambda name, kind, _: kind != "schema" or not on_postgresql or name in SCHEMAS,
    }
    with database.begin() as connection:
        made = names_in(connection)
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), wanted)
    assert made == {table.name for table in metadata.tables.values()} | VIEWS
    assert differences == []


def test_migrations_go_back_to_nothing_and_forward_again(database_url: str) -> None:
    for to, revision in (
        ("head", "0003"),
        ("head", "0003"),
        ("base", None),
        ("base", None),
        ("0001", "0001"),
    ):
        migrate(database_url, to)
        opened = open_database(database_url)
        with opened.read() as connection:
            assert revision_of(connection) == revision
            assert bool(names_in(connection)) == (revision is not None)
        opened.close()


def test_processes_that_migrate_at_once_do_it_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [database_url] * 4))
    opened = open_database(database_url)
    with opened.read() as connection:
        assert revision_of(connection) == "0003"
    opened.close()


def test_an_unknown_revision_is_refused(database_url: str) -> None:
    with pytest.raises(InvalidInputError, match="9999"):
        migrate(database_url, "9999")


def test_what_failed_leaves_no_trace(database: Database) -> None:
    with pytest.raises(RuntimeError, match="mine"), database.begin() as connection:
        append_event(connection, "r1", 1, "note", "never said")
        raise RuntimeError("mine")
    with database.read() as connection:
        assert events_of(connection, "r1") == []


def test_a_reader_waits_for_no_writer_and_sees_one_snapshot(database: Database) -> None:
    with database.read() as reading:
        assert events_of(reading, "r1") == []
        with database.begin() as writing:
            append_event(writing, "r1", 1, "note", "said meanwhile")
            with database.read() as another:
                assert events_of(another, "r1") == []
        assert events_of(reading, "r1") == []
    with database.read() as later:
        assert len(events_of(later, "r1")) == 1


def test_a_reading_transaction_reads_only(database: Database) -> None:
    with pytest.raises(DependencyError, match=r"read-?only"), database.read() as connection:
        append_event(connection, "r1", 1, "note", "never said")
    with database.begin() as connection:
        append_event(connection, "r1", 1, "note", "said")


def test_writers_of_many_threads_take_turns(database: Database) -> None:
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        start.wait()
        for i in range(10):
            with database.begin() as connection:
                append_event(connection, "r1", i, "note", f"{writer}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with database.read() as connection:
        assert len(events_of(connection, "r1")) == 40


def test_errors_of_the_driver_leave_as_ours(database: Database) -> None:
    with pytest.raises(ConflictError), database.begin() as connection:
        for _ in range(2):
            connection.execute(
                release_events.insert(),
                {"row_id": 1, "release_id": "r", "at_ms": 1, "kind": "k", "text": "t"},
            )
    with pytest.raises(DependencyError, match="nonsense"), database.begin() as connection:
        connection.execute(text("SELECT * FROM nonsense"))


def test_a_database_without_tables_says_so(database_url: str) -> None:
    opened = open_database(database_url)
    opened.ping()
    with pytest.raises(DependencyError, match="migrated"), opened.read() as connection:
        all_videos(connection)
    opened.close()


def test_an_absent_server_is_a_dependency_error() -> None:
    opened = open_database(f"postgresql://me:secret@127.0.0.1:{free_port()}/none")
    with pytest.raises(DependencyError) as caught:
        opened.ping()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://host/db",
        "postgresql+asyncpg://host/db",
        "postgresql://host:port/db",
        "sqlite://",
        "sqlite:///:memory:",
        "not a url",
    ],
)
def test_another_driver_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_DATABASE_URL"):
        open_database(url)


def test_sqlite_commits_are_durable(tmp_path: Path) -> None:
    opened = open_database(f"sqlite:///{tmp_path / 'new folder' / 'main.db'}")
    with opened.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
    opened.close()


def test_the_catalogue_comes_back_in_the_order_of_ids(database: Database) -> None:
    b = Video("b", "Title 'b'", 1999, ("Drama", "Sci-Fi"), "", 5)
    a = Video("a", "Été\tà \\N", None, (), "overview", 6)
    upper = Video("B", "capitals come first", 2000, (), "", 7)
    with database.begin() as connection:
        upsert_videos(connection, [b, a, upper])
        upsert_videos(connection, [])
    with database.read() as connection:
        assert all_videos(connection) == [upper, a, b]


def test_a_video_is_replaced_by_its_id(database: Database) -> None:
    first, second = Video("v", "old", 1, ("x",), "o", 1), Video("v", "new", None, (), "", 2)
    with database.begin() as connection:
        upsert_videos(connection, [first])
        upsert_videos(connection, [first, second])
        assert all_videos(connection) == [second]
