"""The Chroma collection of video vectors: the only module that speaks to Chroma.

Its rules (each measured, see the design): a bundle's folder is never opened in place, a writable collection
has one owner process, no embedding function, no telemetry, nothing included that is not asked for, batches
below Chroma's limit, and no `where` filter.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.errors import InvalidInputError, RefusedError
from vectordb.encoder import Vectors
from vectordb.neighbours import neighbour_table

COLLECTION: Final = "videos"
MAX_ID_LENGTH: Final = 512


class VideoCollection:
    """Vectors by video id, in one folder, owned by this process until `close`."""

    def __init__(self, folder: Path, *, dimension: int | None) -> None:
        """Open the collection in `folder`, or make it there where `dimension` is given.

        Raises:
            RefusedError: another process owns the folder.
            InvalidInputError: there is no collection of this name, it exists already, or it is damaged.
        """
        import chromadb  # noqa: PLC0415 costs half a second, and most processes never need it
        from chromadb.config import Settings  # noqa: PLC0415

        self._lock = _own(folder)
        self._client: Any = None
        try:
            self._client = chromadb.PersistentClient(
                path=str(folder), settings=Settings(anonymized_telemetry=False)
            )
            self._collection: Any = self._open(dimension)
            self.dimension = dimension or self._stored_dimension()
        except Exception as error:  # Chroma's own classes differ between its versions
            self.close()
            raise InvalidInputError(f"no usable collection {COLLECTION!r} in {folder}: {error}") from error

    @classmethod
    def create(cls, folder: Path, dimension: int) -> VideoCollection:
        """A new, empty collection for vectors of this width."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, dimension=dimension)

    @classmethod
    def open_copy(cls, bundle_folder: Path, private_folder: Path) -> VideoCollection:
        """The collection of a bundle, copied first: opening writes, and a bundle never changes.

        To be called after a fork, never before: a query in a forked child hangs.
        """
        shutil.copytree(bundle_folder, private_folder)
        return cls(private_folder, dimension=None)

    def add(self, video_ids: Sequence[str], vectors: Vectors) -> None:
        """Add videos in batches that Chroma takes.

        Raises:
            InvalidInputError: an id that is no id or comes twice or is there already; vectors of another
                width or number, of length zero, NaN or infinite. Nothing has been added then.
        """
        self._check(video_ids, vectors)
        for part in self._batches(len(video_ids)):
            self._collection.add(ids=list(video_ids[part]), embeddings=vectors[part])

    def neighbours(self, vectors: Vectors, count: int) -> tuple[list[list[str]], list[list[float]]]:
        """Ids and cosine distances of the nearest videos to each vector, by the approximate index.

        Raises:
            InvalidInputError: vectors of another width, of length zero, NaN or infinite.
        """
        self._check_vectors(vectors)
        ids: list[list[str]] = []
        distances: list[list[float]] = []
        for part in self._batches(len(vectors)):
            found = self._collection.query(
                query_embeddings=vectors[part], n_results=count, include=["distances"]
            )
            ids += found["ids"]
            distances += found["distances"]
        return ids, distances

    def vectors(self, video_ids: Sequence[str]) -> Vectors:
        """The stored vectors of these videos, in this order; one asked for twice comes twice.

        Raises:
            InvalidInputError: one of them is not there; it is named.
        """
        stored: dict[str, Any] = {}
        asked = list(dict.fromkeys(video_ids))
        for part in self._batches(len(asked)):
            found = self._collection.get(ids=asked[part], include=["embeddings"])
            stored.update(zip(found["ids"], found["embeddings"], strict=True))
        for video_id in video_ids:
            if video_id not in stored:
                raise InvalidInputError(f"video {video_id!r} has no vector in the collection")
        rows = [stored[video_id] for video_id in video_ids]
        return np.array(rows, np.float32).reshape(len(rows), self.dimension)

    def exact_neighbours(self, video_ids: Sequence[str], count: int) -> tuple[Any, Any]:
        """The neighbour table over the vectors as they are stored; rows follow the order of `video_ids`."""
        return neighbour_table(self.vectors(video_ids), count)

    def count(self) -> int:
        """How many videos there are."""
        return int(self._collection.count())

    def close(self) -> None:
        """Let the folder go; every vector is on disk afterwards."""
        if self._lock >= 0:
            if self._client is not None:
                self._client.close()
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> VideoCollection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, dimension: int | None) -> Any:
        if dimension is None:
            return self._client.get_collection(COLLECTION, embedding_function=None)
        return self._client.create_collection(
            COLLECTION,
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine"}},
        )

    def _stored_dimension(self) -> int:
        first = self._collection.peek(1)["embeddings"]
        return len(first[0]) if len(first) else 0

    def _batches(self, count: int) -> Iterator[slice]:
        step = int(self._client.get_max_batch_size())
        return (slice(start, min(start + step, count)) for start in range(0, count, step))

    def _check(self, video_ids: Sequence[str], vectors: Vectors) -> None:
        if len(video_ids) != len(vectors):
            raise InvalidInputError(f"{len(video_ids)} videos, but {len(vectors)} vectors")
        for video_id in video_ids:
            _check_id(video_id)
        if len(set(video_ids)) != len(video_ids):
            raise InvalidInputError("a video comes twice in one batch of vectors")
        self._check_vectors(vectors)
        for part in self._batches(len(video_ids)):
            there = self._collection.get(ids=list(video_ids[part]), include=[])["ids"]
            if there:
                raise InvalidInputError(f"video {there[0]!r} is in the collection already")

    def _check_vectors(self, vectors: Vectors) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise InvalidInputError(
                f"vectors of shape {list(vectors.shape)}; the collection's have {self.dimension} numbers"
            )
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.isfinite(lengths).all() or not (lengths > 0).all():
            row = int(np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))[0])
            raise InvalidInputError(f"vector {row} has length {lengths[row]}; it must be finite and above 0")


def _check_id(video_id: str) -> None:
    """Wider than the platform's own rule: a data set of somebody else may have any readable id."""
    usable = 1 <= len(video_id) <= MAX_ID_LENGTH and "\0" not in video_id
    try:
        video_id.encode()
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise InvalidInputError(
            f"video id {video_id[:40]!r} is not 1 to {MAX_ID_LENGTH} characters of text without NUL"
        )


def _own(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise RefusedError(f"another process has the vector store in {folder} open") from None
    return handle
