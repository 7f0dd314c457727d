"""A viewer's live documents, read from the serving store within a deadline: late or failed, they are left out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

from core.errors import DependencyError
from storage.serving_store import RECENTLY_SHOWN, USER_REALTIME_PROFILE, Document, ServingStore

logger = logging.getLogger(__name__)

T = TypeVar("T")
PARTITIONS = 64  # documents of one viewer that are looked at


class ProfileRead(NamedTuple):
    """`document` is None for a viewer without one, and where `in_time` is false."""

    document: Document | None
    in_time: bool


class ShownRequest(NamedTuple):
    """One earlier request of the viewer, and what it showed."""

    request_id: str
    served_ms: int
    video_ids: tuple[str, ...]


class ShownRead(NamedTuple):
    """The viewer's last requests; none where `in_time` is false."""

    requests: tuple[ShownRequest, ...]
    in_time: bool


class Profiles(Protocol):
    """Reads that never raise for what the store does."""

    def read(self, user_id: str) -> ProfileRead:
        """The profile document."""
        ...

    def shown(self, user_id: str) -> ShownRead:
        """What the viewer was shown lately."""
        ...


class EmbeddedProfileReader:
    """Reads from the embedded store in the request's own thread: 16 microseconds, and it waits for no writer.

    The deadline of `ProfileReader` would cost some 80 more, and guard against a network that is not there.
    """

    def __init__(self, store: ServingStore) -> None:
        self._store = store

    def read(self, user_id: str) -> ProfileRead:
        try:
            return ProfileRead(self._store.get(USER_REALTIME_PROFILE, user_id), in_time=True)
        except DependencyError as error:
            _left_out(error)
            return ProfileRead(None, in_time=False)

    def shown(self, user_id: str) -> ShownRead:
        try:
            return ShownRead(shown_requests(self._store, user_id), in_time=True)
        except DependencyError as error:
            _left_out(error)
            return ShownRead((), in_time=False)


class ProfileReader:
    """Reads in threads of its own, so that a store that hangs holds up none of the request threads."""

    def __init__(self, store: ServingStore, threads: int, deadline_s: float) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(threads, "profile")
        # Reads on their way: at the limit the store hangs, and asking it again would only add to the queue.
        self._slots = threading.BoundedSemaphore(threads)

    def read(self, user_id: str) -> ProfileRead:
        found = self._in_time(lambda: (self._store.get(USER_REALTIME_PROFILE, user_id),))
        return ProfileRead(None, in_time=False) if found is None else ProfileRead(found[0], in_time=True)

    def shown(self, user_id: str) -> ShownRead:
        found = self._in_time(lambda: shown_requests(self._store, user_id))
        return ShownRead((), in_time=False) if found is None else ShownRead(found, in_time=True)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _in_time(self, read: Callable[[], T]) -> T | None:
        """What `read` returns, or None if that is not here in time."""
        if not self._slots.acquire(blocking=False):
            return None
        future = self._pool.submit(read)
        future.add_done_callback(self._release)
        try:
            return future.result(self._deadline_s)
        except TimeoutError:
            return None
        except DependencyError as error:
            _left_out(error)
            return None

    def _release(self, _: Future[T]) -> None:
        self._slots.release()


def shown_requests(store: ServingStore, user_id: str) -> tuple[ShownRequest, ...]:
    """The viewer's last requests, out of one document for each partition of the exposures.

    Raises:
        DependencyError: the store does not answer.
    """
    # No id has a slash, so the keys from here to what would stand there for a "0" are this viewer's.
    found = store.scan(RECENTLY_SHOWN, f"{user_id}/", PARTITIONS, f"{user_id}0")
    return tuple(
        ShownRequest(request_id, served_ms, tuple(video_ids))
        for _, document in found
        for request_id, served_ms, video_ids in document["requests"]
    )


def _left_out(error: DependencyError) -> None:
    logger.warning("documents of a viewer left out: %s", error)
