"""The embedded serving store: one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec

from core.clock import Clock
from core.errors import ConflictError
from storage.serving_store import LAST, Document, Versioned
from storage.sqlite_file import SqliteFile

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT, key TEXT, body BLOB NOT NULL, expires_ms INTEGER, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiring ON documents (expires_ms) WHERE expires_ms IS NOT NULL;
"""
_ALIVE: Final = "(expires_ms IS NULL OR expires_ms > ?)"


_REPLACE: Final = """
INSERT INTO documents (collection, key, body, expires_ms) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET body = excluded.body, expires_ms = excluded.expires_ms WHERE documents.body = ?
"""


class SqliteServingStore:
    """Documents as JSON in one table. Reads never wait for a writer."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = SqliteFile(path, _SCHEMA)
        self._clock = clock

    def get(self, collection: str, key: str) -> Document | None:
        query = f"SELECT body FROM documents WHERE collection = ? AND key = ? AND {_ALIVE}"  # noqa: S608
        with self._file.reading() as connection:
            row = connection.execute(query, (collection, key, self._clock.now_ms())).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def get_many(self, collection: str, keys: Iterable[str]) -> dict[str, Document]:
        return {key: msgspec.json.decode(body) for key, body in self._bodies(collection, keys)}

    def get_versions(self, collection: str, keys: Iterable[str]) -> dict[str, Versioned]:
        return {
            key: Versioned(msgspec.json.decode(body), body) for key, body in self._bodies(collection, keys)
        }

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
        rows = [(*row, expires_ms) for row in _rows(collection, documents)]
        if not rows:
            return
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO documents (collection, key, body, expires_ms) VALUES (?, ?, ?, ?)",
                rows,
            )

    def replace_many(
        self,
        collection: str,
        documents: Mapping[str, Document],
        versions: Mapping[str, Versioned],
        expires_ms: int | None = None,
    ) -> None:
        rows = [
            (*row, expires_ms, versions[row[1]].version if row[1] in versions else None)
            for row in _rows(collection, documents)
        ]
        if not rows:
            return
        with self._writing() as connection:
            if connection.executemany(_REPLACE, rows).rowcount < len(rows):
                raise ConflictError(f"{collection}: somebody else has put a document meanwhile")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._file.writing() as connection:
            connection.execute("DELETE FROM documents WHERE expires_ms <= ?", (self._clock.now_ms(),))
            yield connection

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
        with self._file.writing() as connection:
            connection.executemany(
                "DELETE FROM documents WHERE collection = ? AND key = ?", [(collection, key) for key in keys]
            )

    def close(self) -> None:
        self._file.close()


def _rows(collection: str, documents: Mapping[str, Document]) -> list[tuple[str, str, bytes]]:
    """In the order of the file, where neighbours share a page."""
    ordered = sorted(documents.items(), key=itemgetter(0))
    return [(collection, key, msgspec.json.encode(body)) for key, body in ordered]
