"""The main store: one SQL database, SQLite or PostgreSQL, behind transactions that speak our errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from core.errors import (
    ConflictError,
    DependencyError,
    InvalidInputError,
    InvalidSettingError,
    UnderstudyError,
)
from storage.sqlite_file import use_write_ahead_log
from storage.tables import SCHEMAS

BUSY_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5
MANY = 2_000  # of fewer, one connection has them sooner
_WRITES = "understudy_writes"
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg2"}

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")


class Database:
    """An engine and its transactions. Thread-safe; made after a fork, never before.

    Every error of the driver leaves `begin` and `read` as one of ours: DependencyError (away, locked, full,
    deadlock: the same call may succeed later), ConflictError (a unique key: somebody was first) or
    InvalidInputError (a value no column takes).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One writing transaction: committed at the end, rolled back by any exception.

        On SQLite it holds the one write lock from the start, so that it never fails half way for want of it.
        """
        with self._translated(), self._engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One read-only transaction over a single snapshot; it waits for no writer."""
        with self._translated(), self._engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read_together(self) -> Iterator[list[Connection]]:
        """As many transactions as `read` gives, each of its own snapshot, as are quicker at once than one alone.

        PostgreSQL works out two answers on two cores. SQLite works in this process, where two would wait for each
        other.
        """
        with ExitStack() as stack:
            several = 2 if self.dialect == "postgresql" else 1
            yield [stack.enter_context(self.read()) for _ in range(several)]

    def read_in_parts(
        self, read: Callable[[Connection, Sequence[Wanted]], Found], wanted: Sequence[Wanted]
    ) -> list[Found]:
        """What `read` finds of some of the wanted, and of those after them: many are asked for in parts, at once."""
        if len(wanted) < MANY:
            with self.read() as connection:
                return [read(connection, wanted)]
        with self.read_together() as connections, ThreadPoolExecutor(len(connections)) as pool:
            each = -(-len(wanted) // len(connections))
            parts = [wanted[first : first + each] for first in range(0, len(wanted), each)]
            return list(pool.map(read, connections, parts))

    def ping(self) -> None:
        """Ask the server for nothing.

        Raises:
            DependencyError: it does not answer.
        """
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        driver_error = self._engine.dialect.loaded_dbapi.Error
        try:
            yield
        except (SQLAlchemyError, driver_error) as error:
            raise _translate(error, self._engine) from error


def open_database(url: str) -> Database:
    """The main store at a SQLAlchemy URL (`sqlite:///file` or `postgresql://...`); connects on first use.

    Raises:
        InvalidSettingError: another driver, or not a URL; the message never shows the password.
    """
    parsed = _checked(url)
    if parsed.get_backend_name() == "sqlite":
        return Database(_sqlite_engine(parsed))
    return Database(_postgresql_engine(parsed))


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise InvalidSettingError("UNDERSTUDY_DATABASE_URL: not a database URL") from None
    backend = parsed.get_backend_name()
    if parsed.drivername not in {backend, _DRIVERS.get(backend)} or backend not in _DRIVERS:
        raise InvalidSettingError(
            f"UNDERSTUDY_DATABASE_URL: driver {parsed.drivername!r} is unknown; use sqlite or postgresql"
        )
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise InvalidSettingError(
            "UNDERSTUDY_DATABASE_URL: SQLite needs a file, as in sqlite:////var/lib/u.db"
        )
    return parsed.set(drivername=_DRIVERS[backend])


def _sqlite_engine(url: URL) -> Engine:
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_S},
        execution_options={"schema_translate_map": dict.fromkeys(SCHEMAS)},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes late and never IMMEDIATE
    use_write_ahead_log(connection, BUSY_TIMEOUT_S)
    connection.execute("PRAGMA synchronous=FULL")  # a commit that was answered survives a power cut
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,  # a backend that was terminated costs a reconnect, not an error
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": 10_000,
            "options": "-c timezone=UTC -c lock_timeout=10s",
        },
    )


def _translate(error: Exception, engine: Engine) -> UnderstudyError:
    driver = engine.dialect.loaded_dbapi
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    where = engine.url.render_as_string(hide_password=True)
    message = f"database {where}: {lines[0] if lines else type(cause).__name__}"
    if isinstance(cause, driver.IntegrityError):
        return ConflictError(message)
    if isinstance(cause, driver.DataError):
        return InvalidInputError(message)
    if "no such table" in message or "does not exist" in message:
        message += " (are its tables migrated?)"
    return DependencyError(message)
