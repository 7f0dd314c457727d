"""Group commit: requests that come while the log is writing share the next append, and its one fsync."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from typing import NamedTuple

from core.errors import DependencyError
from storage.event_log import EventLog, Message

# Messages of one append, and of all requests that wait (1 KB each: some 20 MB).
LARGEST_APPEND = 5_000
MOST_WAITING = 20_000


class _Job(NamedTuple):
    messages: Sequence[Message]
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class GroupCommit:
    """Appends to one topic from a thread of its own."""

    def __init__(self, log: EventLog, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0  # changed by the event loop alone
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = 3.0) -> None:
        """Append what waits, then end."""
        self._jobs.put(None)
        self._thread.join(seconds)

    async def append(self, messages: Sequence[Message], timeout_s: float) -> None:
        """Return once the log has acknowledged all of `messages`.

        Raises:
            DependencyError: it did not in time, or too much is waiting already; they may still be stored.
        """
        if self._waiting + len(messages) > MOST_WAITING:
            raise DependencyError(f"{self._waiting} events wait for the event log")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        done.add_done_callback(_look_at)  # whoever waited may have gone
        self._waiting += len(messages)
        self._jobs.put(_Job(messages, done, loop))
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(done)
        except TimeoutError:
            raise DependencyError(f"the event log did not acknowledge within {timeout_s:g} s") from None

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs, last = self._gather(first)
            error = self._append([message for job in jobs for message in job.messages])
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                for job in jobs:
                    job.loop.call_soon_threadsafe(self._settle, job, error)
            if last:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """All that waits, up to the largest append; True if the sign to stop came with it."""
        jobs, size = [first], len(first.messages)
        while size < LARGEST_APPEND:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            size += len(job.messages)
        return jobs, False

    def _append(self, messages: Sequence[Message]) -> DependencyError | None:
        try:
            self._log.append(self._topic, messages)
        except DependencyError as error:
            return error
        except Exception as error:  # noqa: BLE001  # whatever it was, nobody may be told 202, nor wait for ever
            return DependencyError(f"the event log failed: {error!r}")
        return None

    def _settle(self, job: _Job, error: DependencyError | None) -> None:
        self._waiting -= len(job.messages)
        if job.done.done():
            return
        if error is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(error)


def _look_at(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()
