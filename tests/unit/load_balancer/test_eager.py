"""A coroutine that is run eagerly does all it can at once, and the rest when it can."""

from __future__ import annotations

import asyncio

import pytest

from load_balancer.eager import run_eagerly


def test_it_runs_up_to_its_first_wait_and_goes_on_from_there() -> None:
    async def run() -> list[str]:
        first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        seen: list[str] = []
        ended = asyncio.Event()

        async def work() -> None:
            seen.append("begun")
            seen.append(await first)
            with pytest.raises(TimeoutError):
                await asyncio.get_running_loop().create_task(fails())
            seen.append("failed")
            ended.set()

        async def fails() -> None:
            raise TimeoutError

        run_eagerly(work())
        assert seen == ["begun"]
        first.set_result("waited")
        await asyncio.wait_for(ended.wait(), 10)
        return seen

    assert asyncio.run(run()) == ["begun", "waited", "failed"]


def test_what_it_raises_at_once_comes_at_once() -> None:
    async def fails() -> None:
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        run_eagerly(fails())
