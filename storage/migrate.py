"""Bring the main store to a revision of its tables, forward or backward."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from core.errors import InvalidInputError
from storage.database import open_database

_MIGRATION_LOCK = 0x4D_49_47


def migrate(url: str, to: str = "head") -> None:
    """Run the migrations that lead to revision `to` (`head`, `base`, or a revision's id), all or none.

    Several processes may ask at once: one does the work, the others find it done.

    Raises:
        InvalidInputError: there is no such revision.
        DependencyError: the database does not answer.
    """
    database = open_database(url)
    try:
        # Looked at first: a command that only reads must not wait for the lock of whoever writes.
        with database.read() as connection:
            if to == "head" and revision_of(connection) == _scripts().get_current_head():
                return
        with database.begin() as connection:
            if database.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            _run(connection, to)
    except CommandError as error:
        raise InvalidInputError(f"cannot migrate to {to!r}: {error}") from error
    finally:
        database.close()


def revision_of(connection: Connection) -> str | None:
    """The revision the database is at; None before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _run(connection: Connection, to: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    if _is_behind(_scripts(), to, revision_of(connection)):
        command.downgrade(config, to)
    else:
        command.upgrade(config, to)


def _is_behind(scripts: ScriptDirectory, to: str, current: str | None) -> bool:
    if to == "base":
        return True
    if to == "head" or current is None:
        return False
    return to != current and to in {script.revision for script in scripts.iterate_revisions(current, "base")}
