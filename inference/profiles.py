"""A viewer's live profile, read from the serving store within a deadline: late or failed, it is left out."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from core.errors import DependencyError
from storage.serving_store import USER_REALTIME_PROFILE, Document, ServingStore

logger = logging.getLogger(__name__)


class ProfileRead(NamedTuple):
    """`document` is None for a viewer without one, and where `in_time` is false."""

    document: Document | None
    in_time: bool


class EmbeddedProfileReader:
    """Reads from the embedded store in the request's own thread: 16 microseconds, and it waits for no writer.

    The deadline of `ProfileReader` would cost some 80 more, and guard against a network that is not there.
    """

    def __init__(self, store: ServingStore) -> None:
        self._store = store

    def read(self, user_id: str) -> ProfileRead:
        """The profile document; never raises for what the store does."""
        try:
            return ProfileRead(self._store.get(USER_REALTIME_PROFILE, user_id), in_time=True)
        except DependencyError as error:
            return _left_out(error)


class ProfileReader:
    """Reads in threads of its own, so that a store that hangs holds up none of the request threads."""

    def __init__(self, store: ServingStore, threads: int, deadline_s: float) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(threads, "profile")
        # Reads on their way: at the limit the store hangs, and asking it again would only add to the queue.
        self._slots = threading.BoundedSemaphore(threads)

    def read(self, user_id: str) -> ProfileRead:
        """The profile document, if it is here in time; never raises for what the store does."""
        if not self._slots.acquire(blocking=False):
            return ProfileRead(None, in_time=False)
        future = self._pool.submit(self._store.get, USER_REALTIME_PROFILE, user_id)
        future.add_done_callback(self._release)
        try:
            return ProfileRead(future.result(self._deadline_s), in_time=True)
        except TimeoutError:
            return ProfileRead(None, in_time=False)
        except DependencyError as error:
            return _left_out(error)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _release(self, _: Future[Document | None]) -> None:
        self._slots.release()


def _left_out(error: DependencyError) -> ProfileRead:
    logger.warning("profile of a viewer left out: %s", error)
    return ProfileRead(None, in_time=False)
