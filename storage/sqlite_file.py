"""One SQLite file shared by threads and processes: what the embedded log and the embedded store stand on."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import DependencyError

_RETRY_S = 0.005


def use_write_ahead_log(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    """Put the file into write-ahead mode, whoever else opens it for the first time at this moment.

    SQLite answers SQLITE_BUSY here at once, without the connection's busy timeout: the switch turns a read lock into
    an exclusive one, which two openers could wait for for ever. Asking anew lets one of them through.

    Raises:
        sqlite3.OperationalError: the file is still locked after `busy_timeout_s`, or cannot be written.
    """
    deadline = time.monotonic() + busy_timeout_s
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)


class SqliteFile:
    """Connections to one file, one a thread, since SQLite's are not to be shared in mid-transaction.

    Made after a fork, never before: a connection must not be inherited.

    Raises:
        DependencyError: the file cannot be opened or written.
    """

    def __init__(self, path: Path, schema: str, busy_timeout_s: float = 10.0) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._threads = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.reading() as connection:
            use_write_ahead_log(connection, busy_timeout_s)
            connection.executescript(schema)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection; each statement is a transaction of its own."""
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise DependencyError(f"{self.path}: {error}") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable once the block has ended; rolled back by any exception."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections of every thread; using the file afterwards is an error."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if found is not None:
            return found
        made = sqlite3.connect(
            self.path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        made.execute("PRAGMA synchronous=FULL")  # an acknowledged write survives a power cut
        self._threads.connection = made
        with self._lock:
            self._all.append(made)
        return made
