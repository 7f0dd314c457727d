"""The embedded serving store: one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec

from core.clock import Clock
from storage.serving_store import LAST, Document
from storage.sqlite_file import SqliteFile

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT, key TEXT, body BLOB NOT NULL, expires_ms INTEGER, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiring ON documents (expires_ms) WHERE expires_ms IS NOT NULL;
"""
_ALIVE: Final = "(expires_ms IS NULL OR expires_ms > ?)"


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
        # One statement for all of them, which costs a quarter of one for each.
        query = (
            "SELECT documents.key, body FROM json_each(?) AS wanted CROSS JOIN documents"  # noqa: S608
            f" WHERE collection = ? AND documents.key = wanted.value AND {_ALIVE}"
        )
        wanted = msgspec.json.encode(list(keys)).decode()
        with self._file.reading() as connection:
            rows = connection.execute(query, (wanted, collection, self._clock.now_ms())).fetchall()
        return {key: msgspec.json.decode(body) for key, body in rows}

    def put_many(
        self, collection: str, documents: Mapping[str, Document], expires_ms: int | None = None
    ) -> None:
        # In the order of the file, where neighbours share a page.
        ordered = sorted(documents.items(), key=itemgetter(0))
        rows = [(collection, key, msgspec.json.encode(body), expires_ms) for key, body in ordered]
        if not rows:
            return
        with self._file.writing() as connection:
            connection.execute("DELETE FROM documents WHERE expires_ms <= ?", (self._clock.now_ms(),))
            connection.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", rows)

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
