"""Requests that come while the log writes share the next append; none is told yes before it is durable."""

import asyncio

import pytest

from core.errors import DependencyError
from load_balancer.group_commit import MOST_WAITING, GroupCommit
from storage.event_log import Message
from tests.support import wait_until
from tests.unit.load_balancer.fakes import MemoryLog


def message(number: int) -> Message:
    return Message("u", str(number).encode())


def test_waiting_requests_share_an_append() -> None:
    log = MemoryLog()

    async def run() -> None:
        log.gate.clear()
        commits = GroupCommit(log, "topic")
        commits.start()
        waiting = [asyncio.ensure_future(commits.append([message(i)], 5)) for i in range(50)]
        await asyncio.sleep(0.01)
        assert not any(one.done() for one in waiting)
        log.gate.set()
        await asyncio.gather(*waiting)
        commits.stop()

    asyncio.run(run())
    assert log.messages == [message(i) for i in range(50)]
    assert len(log.appends) <= 2


def test_a_refusal_reaches_every_request_of_the_append() -> None:
    log = MemoryLog()
    log.away = True

    async def run() -> None:
        commits = GroupCommit(log, "topic")
        commits.start()
        results = await asyncio.gather(
            *(commits.append([message(i)], 5) for i in range(10)), return_exceptions=True
        )
        assert all(isinstance(result, DependencyError) for result in results)
        log.away = False
        await commits.append([message(99)], 5)
        commits.stop()

    asyncio.run(run())
    assert log.messages == [message(99)]


def test_a_log_that_does_not_answer_is_not_waited_for() -> None:
    log = MemoryLog()

    async def run() -> None:
        log.gate.clear()
        commits = GroupCommit(log, "topic")
        commits.start()
        with pytest.raises(DependencyError, match="did not acknowledge within"):
            await commits.append([message(1)], 0.05)
        log.gate.set()
        await commits.append([message(2)], 5)
        commits.stop()

    asyncio.run(run())
    assert log.messages == [
        message(1),
        message(2),
    ]  # the first was stored after all: its id makes it count once


def test_too_much_waiting_is_refused_at_once() -> None:
    log = MemoryLog()

    async def run() -> None:
        log.gate.clear()
        commits = GroupCommit(log, "topic")
        commits.start()
        first = asyncio.ensure_future(commits.append([message(1)] * MOST_WAITING, 5))
        await asyncio.sleep(0)
        with pytest.raises(DependencyError, match="wait for the event log"):
            await commits.append([message(2)], 5)
        log.gate.set()
        await first
        await commits.append([message(3)], 5)
        commits.stop()

    asyncio.run(run())


def test_what_waits_at_the_end_is_appended() -> None:
    log = MemoryLog()

    async def run() -> None:
        log.gate.clear()
        commits = GroupCommit(log, "topic")
        commits.start()
        waiting = [asyncio.ensure_future(commits.append([message(i)], 5)) for i in range(3)]
        await asyncio.sleep(0)
        log.gate.set()
        commits.stop()
        await asyncio.gather(*waiting)

    asyncio.run(run())
    wait_until(lambda: len(log.messages) == 3, 1)
