"""The embedded serving store: one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec

from core.clock import Clock
from core.errors import ConflictError
from storage.serving_store import LAST, Document, Versions
from storage.sqlite_file import SqliteFile

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT, key TEXT, body BLOB NOT NULL, expires_ms INTEGER, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiring ON documents (expires_ms) WHERE expires_ms IS NOT NULL;
"""
_ALIVE: Final = "(expires_ms IS NULL OR expires_ms > ?)"
_PUT: Final = "INSERT OR REPLACE INTO documents (collection, key, body, expires_ms) VALUES (?, ?, ?, ?)"
_REPLACE: Final = """
INSERT INTO documents (collection, key, body, expires_ms) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET body = excluded.body, expires_ms = excluded.expires_ms WHERE documents.body = ?
"""

# The connection, how far others have written to the file as it sees it, and we to a collection.
State = tuple[int, int, int]


class _Bodies(dict[str, bytes]):
    """The documents' versions: their bytes, and the state of the file before they were read."""

    def __init__(self, state: State, bodies: Iterable[tuple[str, bytes]]) -> None:
        super().__init__(bodies)
        self.state = state


class SqliteServingStore:
    """Documents as JSON in one table. Reads never wait for a writer."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = SqliteFile(path, _SCHEMA)
        self._clock = clock
        self._written: Counter[str] = Counter()

    def get(self, collection: str, key: str) -> Document | None:
        query = f"SELECT body FROM documents WHERE collection = ? AND key = ? AND {_ALIVE}"  # noqa: S608
        with self._file.reading() as connection:
            row = connection.execute(query, (collection, key, self._clock.now_ms())).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def get_many(self, collection: str, keys: Iterable[str]) -> dict[str, Document]:
        return {key: msgspec.json.decode(body) for key, body in self._bodies(collection, keys)}

    def get_versions(self, collection: str, keys: Iterable[str]) -> tuple[dict[str, Document], Versions]:
        with self._file.reading() as connection:
            state = self._state(connection, collection)
        bodies = _Bodies(state, self._bodies(collection, keys))
        return {key: msgspec.json.decode(body) for key, body in bodies.items()}, bodies

    def _bodies(self, collection: str, keys: Iterable[str]) -> list[tuple[str, bytes]]:
        # One statement for all of them, which costs a quarter of one for each.
        query = (
            "SELECT documents.key, body FROM json_each(?) AS wanted CROSS JOIN documents"  # noqa: S608
            f" WHERE collection = ? AND documents.key = wanted.value AND {_ALIVE}"
        )
        wanted = msgspec.json.encode(list(keys)).decode()
        with self._file.reading() as connection:
            return connection.execute(query, (wanted, collection, self._clock.now_ms())).fetchall()

    def put_many(
        self, collection: str, documents: Mapping[str, Document], expires_ms: int | None = None
    ) -> None:
        rows = [(collection, key, msgspec.json.encode(body), expires_ms) for key, body in _ordered(documents)]
        if not rows:
            return
        with self._writing(collection) as connection:
            connection.executemany(_PUT, rows)

    def replace_many(
        self,
        collection: str,
        documents: Mapping[str, Document],
        versions: Versions,
        expires_ms: int | None = None,
    ) -> None:
        rows = [(collection, key, msgspec.json.encode(body), expires_ms) for key, body in _ordered(documents)]
        if not rows:
            return
        with self._writing(collection) as connection:
            if isinstance(versions, _Bodies) and versions.state == self._state(connection, collection):
                connection.executemany(_PUT, rows)
                return
            versioned = [(*row, versions.get(row[1])) for row in rows]
            if connection.executemany(_REPLACE, versioned).rowcount < len(rows):
                raise ConflictError(f"{collection}: somebody else has put a document meanwhile")

    def _state(self, connection: sqlite3.Connection, collection: str) -> State:
        """While it is the same, nobody has written to the collection; to compare every document costs more."""
        (others,) = connection.execute("PRAGMA data_version").fetchone()
        return id(connection), others, self._written[collection]

    @contextmanager
    def _writing(self, collection: str) -> Iterator[sqlite3.Connection]:
        with self._file.writing() as connection:
            connection.execute("DELETE FROM documents WHERE expires_ms <= ?", (self._clock.now_ms(),))
            yield connection
            self._written[collection] += 1

    def scan(
        self, collection: str, first_key: str = "", limit: int = 1_000, before: str = LAST
    ) -> list[tuple[str, Document]]:
        query = (
            f"SELECT key, body FROM documents WHERE collection = ? AND key >= ? AND key < ? AND {_ALIVE}"  # noqa: S608
            " ORDER BY key LIMIT ?"
        )
        with self._file.reading() as connection:
            values = (collection, first_key, before, self._clock.now_ms(), limit)
            rows = connection.execute(query, values).fetchall()
        return [(key, msgspec.json.decode(body)) for key, body in rows]

    def delete_many(self, collection: str, keys: Iterable[str]) -> None:
        with self._writing(collection) as connection:
            connection.executemany(
                "DELETE FROM documents WHERE collection = ? AND key = ?", [(collection, key) for key in keys]
            )

    def close(self) -> None:
        self._file.close()


def _ordered(documents: Mapping[str, Document]) -> list[tuple[str, Document]]:
    """In the order of the file, where neighbours share a page."""
    return sorted(documents.items(), key=itemgetter(0))
