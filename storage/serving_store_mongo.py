"""The serving store in MongoDB: a document is kept under `_id` = key, beside the time at which it expires."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pymongo import ASCENDING, MongoClient, ReplaceOne
from pymongo.errors import BulkWriteError, ConfigurationError, InvalidURI, PyMongoError

from core.clock import Clock
from core.errors import ConflictError, DependencyError, InvalidSettingError
from core.ids import new_id
from storage.serving_store import LAST, Document, Versions

_DATABASE: Final = "understudy"
_BATCH: Final = 1_000
_DUPLICATE_KEY: Final = 11_000


class MongoServingStore:
    """Documents in MongoDB, one collection each. Connects on first use; made after a fork, never before.

    Expiry goes by our clock: an expired document is not read, and the next write with an expiry removes it.
    """

    def __init__(self, url: str, clock: Clock, timeout_ms: int = 2_000) -> None:
        self._clock = clock
        self._indexed: set[str] = set()
        self._lock = threading.Lock()
        try:
            self._client: MongoClient[Document] = MongoClient(
                url,
                serverSelectionTimeoutMS=timeout_ms,
                connectTimeoutMS=timeout_ms,
                socketTimeoutMS=timeout_ms,
                appname="understudy",
            )
            self._database = self._client.get_default_database(_DATABASE)
        except (ConfigurationError, InvalidURI, ValueError) as error:
            raise InvalidSettingError(
                f"UNDERSTUDY_MONGODB_URL: not a MongoDB URL ({type(error).__name__})"
            ) from None
        except OSError as error:  # a file of certificates that the URL names
            raise InvalidSettingError(f"UNDERSTUDY_MONGODB_URL: {error}") from None

    def get(self, collection: str, key: str) -> Document | None:
        return self.get_many(collection, [key]).get(key)

    def get_many(self, collection: str, keys: Iterable[str]) -> dict[str, Document]:
        return {row["_id"]: row["document"] for row in self._found(collection, keys)}

    def get_versions(self, collection: str, keys: Iterable[str]) -> tuple[dict[str, Document], Versions]:
        rows = list(self._found(collection, keys))
        documents = {row["_id"]: row["document"] for row in rows}
        return documents, {row["_id"]: row.get("version") for row in rows}

    def _found(self, collection: str, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
        with self._translated():
            for batch in _batches(list(keys)):
                yield from self._database[collection].find({"_id": {"$in": batch}, **self._alive()})

    def put_many(
        self, collection: str, documents: Mapping[str, Document], expires_ms: int | None = None
    ) -> None:
        self._write(
            collection,
            [
                ReplaceOne({"_id": key}, _row(key, body, expires_ms), upsert=True)
                for key, body in documents.items()
            ],
            expires_ms,
        )

    def replace_many(
        self,
        collection: str,
        documents: Mapping[str, Document],
        versions: Versions,
        expires_ms: int | None = None,
    ) -> None:
        replacements, version = [], new_id()
        for key, body in documents.items():
            row = {**_row(key, body, expires_ms), "version": version}
            # What has another version is not found, and its key cannot be inserted a second time.
            replacements.append(ReplaceOne({"_id": key, "version": versions.get(key)}, row, upsert=True))
        try:
            self._write(collection, replacements, expires_ms)
        except DependencyError as error:
            if _conflicts(error.__cause__):
                raise ConflictError(f"{collection}: somebody else has put a document meanwhile") from error
            raise

    def _write(
        self, collection: str, replacements: list[ReplaceOne[Document]], expires_ms: int | None
    ) -> None:
        with self._translated():
            if expires_ms is not None:
                self._remove_expired(collection)
            for batch in _batches(replacements):
                self._database[collection].bulk_write(batch, ordered=False)

    def scan(
        self, collection: str, first_key: str = "", limit: int = 1_000, before: str = LAST
    ) -> list[tuple[str, Document]]:
        query = {"_id": {"$gte": first_key, "$lt": before}, **self._alive()}
        with self._translated():
            cursor = self._database[collection].find(query).sort("_id", ASCENDING).limit(limit)
            return [(row["_id"], row["document"]) for row in cursor]

    def delete_many(self, collection: str, keys: Iterable[str]) -> None:
        with self._translated():
            for batch in _batches(list(keys)):
                self._database[collection].delete_many({"_id": {"$in": batch}})

    def close(self) -> None:
        self._client.close()

    def _alive(self) -> dict[str, Any]:
        return {"$or": [{"expires_ms": None}, {"expires_ms": {"$gt": self._clock.now_ms()}}]}

    def _remove_expired(self, collection: str) -> None:
        with self._lock:
            if collection not in self._indexed:
                self._database[collection].create_index("expires_ms")
                self._indexed.add(collection)
        self._database[collection].delete_many({"expires_ms": {"$lte": self._clock.now_ms()}})

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PyMongoError as error:
            # What stands after it are the driver's settings and its picture of the servers.
            what = str(error).split(" (configured timeouts")[0].split(", Timeout: ")[0]
            raise DependencyError(f"MongoDB: {what[:300]}") from error


def _batches(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _row(key: str, body: Document, expires_ms: int | None) -> dict[str, Any]:
    return {"_id": key, "document": body, "expires_ms": expires_ms}


def _conflicts(error: BaseException | None) -> bool:
    if not isinstance(error, BulkWriteError):
        return False
    return all(one["code"] == _DUPLICATE_KEY for one in error.details["writeErrors"])
