"""The upstream client over real sockets: keeps connections, retries a stale one, believes nothing unchecked."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from core.errors import InvalidInputError
from load_balancer.arms import address
from load_balancer.connection import AttemptTimeoutError, Response, UpstreamError
from load_balancer.pool import IDLE_S, BusyError, Pool
from tests.fake_arm import FakeArm

GET = b"GET /recommend/u1?count=3 HTTP/1.1\r\nHost: arm\r\n\r\n"


def with_arm(arm: FakeArm, use: Callable[[Pool], Awaitable[None]], limit: int = 4) -> None:
    async def run() -> None:
        pool = Pool(*address(await arm.start()), limit)
        await use(pool)
        pool.close()
        await arm.stop()

    asyncio.run(run())


def send(pool: Pool, seconds: float = 5.0) -> Awaitable[Response]:
    return pool.send(GET, monotonic() + seconds)


def test_one_connection_serves_one_request_after_the_other() -> None:
    arm = FakeArm()

    async def use(pool: Pool) -> None:
        for _ in range(5):
            assert (await send(pool)).status == 200

    with_arm(arm, use)
    assert (len(arm.requests), arm.connections) == (5, 1)


def test_a_status_is_an_answer() -> None:
    async def use(pool: Pool) -> None:
        assert (await send(pool)).status == 500

    with_arm(FakeArm(mode="error500"), use)


def test_a_stale_connection_is_replaced_and_the_others_are_dropped() -> None:
    arm = FakeArm()

    async def use(pool: Pool) -> None:
        await asyncio.gather(*(send(pool) for _ in range(3)))
        arm.mode = "close"  # whoever asks on a kept connection finds it closed, as after a restart
        with pytest.raises(UpstreamError):
            await send(pool)
        arm.mode = "ok"
        assert (await send(pool)).status == 200

    with_arm(arm, use)
    assert arm.connections == 3 + 2  # the retry, which failed too, and the last one: none of the old was used


def test_a_new_connection_that_fails_is_not_retried() -> None:
    arm = FakeArm(mode="close")

    async def use(pool: Pool) -> None:
        with pytest.raises(UpstreamError):
            await send(pool)

    with_arm(arm, use)
    assert len(arm.requests) == 1


def test_an_answer_cut_off_is_not_retried() -> None:
    arm = FakeArm()

    async def use(pool: Pool) -> None:
        await send(pool)
        arm.mode = "truncated"
        with pytest.raises(UpstreamError):
            await send(pool)

    with_arm(arm, use)
    assert len(arm.requests) == 2


@pytest.mark.parametrize("mode", ["not_http", "chunked", "two_lengths", "close", "truncated"])
def test_what_is_not_plain_http_with_a_length_is_an_error(mode: str) -> None:
    async def use(pool: Pool) -> None:
        with pytest.raises(UpstreamError):
            await send(pool)

    with_arm(FakeArm(mode=mode), use)


def test_the_deadline_holds_and_closes_the_connection() -> None:
    arm = FakeArm(mode="hang")

    async def use(pool: Pool) -> None:
        began = monotonic()
        with pytest.raises(AttemptTimeoutError):
            await send(pool, 0.05)
        assert monotonic() - began < 1
        arm.mode = "ok"
        assert (await send(pool)).status == 200

    with_arm(arm, use)
    assert arm.connections == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://a b:80",
        "http://a\t:80",
        "http://a%0d:80",
        "http://ä:80",
        "http://a:80/",
        "http://u@a:80",
        "https://a:80",
        "http://a",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="upstream"):
        address(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://a-b.c_d:80", "a-b.c_d"), ("http://[::1]:80", "::1"), ("http://127.0.0.1:80", "127.0.0.1")],
)
def test_names_and_addresses_are_taken(url: str, host: str) -> None:
    assert address(url) == (host, 80)


def test_nobody_listens() -> None:
    async def run() -> None:
        arm = FakeArm()
        url = await arm.start()
        await arm.stop()
        with pytest.raises(UpstreamError):
            await send(Pool(*address(url), 4))

    asyncio.run(run())


def test_beyond_the_limit_nothing_is_sent() -> None:
    arm = FakeArm(mode="hang")

    async def use(pool: Pool) -> None:
        waiting = [asyncio.ensure_future(send(pool, 0.1)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await send(pool)
        assert all(
            isinstance(e, AttemptTimeoutError) for e in await asyncio.gather(*waiting, return_exceptions=True)
        )
        arm.mode = "ok"
        assert (await send(pool)).status == 200

    with_arm(arm, use, limit=2)


def test_a_cancelled_request_leaves_no_answer_behind_for_the_next() -> None:
    arm = FakeArm(mode="slow")

    async def use(pool: Pool) -> None:
        first = asyncio.ensure_future(send(pool))
        while not arm.requests:
            await asyncio.sleep(0)
        first.cancel()
        arm.mode = "ok"
        assert (await send(pool)).status == 200

    with_arm(arm, use)
    assert arm.connections == 2


def test_a_cancelled_request_ends_its_connection_at_the_deadline() -> None:
    async def use(pool: Pool) -> None:
        connection = await pool._connected(monotonic() + 5)
        connection.exchange(GET, monotonic() + 0.05).cancel()
        async with asyncio.timeout(10):
            while connection.open:
                await asyncio.sleep(0.001)

    with_arm(FakeArm(mode="hang"), use)


def test_connections_idle_for_long_are_not_used() -> None:
    arm = FakeArm()

    async def use(pool: Pool) -> None:
        await asyncio.gather(*(send(pool) for _ in range(2)))
        for connection in pool._idle:
            connection.idle_since -= IDLE_S + 1
        await send(pool)
        assert len(pool._idle) == 1

    with_arm(arm, use)
    assert arm.connections == 3


def test_a_closed_pool_keeps_nothing() -> None:
    arm = FakeArm()

    async def use(pool: Pool) -> None:
        answer = asyncio.ensure_future(send(pool))
        await asyncio.sleep(0)
        pool.close()
        assert (await answer).status == 200
        assert not pool._idle

    with_arm(arm, use)
