"""Three load balancers, stopped, killed, reloaded and started again: every viewer stays on its arm."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.traffic import TrafficPlan
from load_balancer.assignment import assign
from tests.serving import Running, Stage, open_stage
from tests.support import wait_until

AT_ONCE = 50
# A machine that is busy with other things is no reason for the other arm.
PATIENT = {"UNDERSTUDY_BALANCER_ATTEMPT_MS": "30000", "UNDERSTUDY_BALANCER_REQUEST_MS": "30000"}
TESTERS = {"tester-1": "canary", "tester-2": "main"}
SAID = re.compile(rb'"user_id":"([^"]+)","arm":"(main|canary)","version":"(v[12])"')


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as stage:
        yield stage


def arms(balancer: Running, users: Sequence[str]) -> dict[str, str]:
    """The arm that answers each viewer; requests go out in bunches on one connection, as a busy proxy's do."""
    host, port = balancer.url.removeprefix("http://").split(":")
    found: dict[str, str] = {}
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for first in range(0, len(users), AT_ONCE):
            bunch = users[first : first + AT_ONCE]
            connection.sendall(
                b"".join(b"GET /recommend/%s?count=1 HTTP/1.1\r\nHost: a\r\n\r\n" % u.encode() for u in bunch)
            )
            found |= _answers(connection, len(bunch))
    return found


def _answers(connection: socket.socket, count: int) -> dict[str, str]:
    received = b""
    while received.count(b'"items":[{') < count:
        received += connection.recv(262_144) or pytest.fail(f"closed in mid-answer: {received[-300:]!r}")
        assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200"), received
    said = SAID.findall(received)
    assert {(arm, version) for _, arm, version in said} <= {(b"main", b"v1"), (b"canary", b"v2")}
    return {user.decode(): arm.decode() for user, arm, _ in said}


def differing(balancers: Sequence[Running], plan: TrafficPlan, users: Sequence[str]) -> int:
    """How many answers come from another arm than the plan says; every load balancer is asked for everybody."""
    with ThreadPoolExecutor(len(balancers)) as pool:
        answers = list(pool.map(lambda balancer: arms(balancer, users), balancers))
    assert all(len(found) == len(users) for found in answers)
    return sum(found[user] != assign(plan, user) for found in answers for user in users)


def restart(stage: Stage, balancers: list[Running], round_: int) -> None:
    """One of them goes, each time in another way, and is back on its port."""
    place = round_ % len(balancers)
    going = balancers[place]
    port = int(going.url.rsplit(":", 1)[1])
    if round_ % 3 == 2:
        # Until the old worker is gone it may take a connection, and end it between two requests of a bunch.
        before = going.log.read_text().count("Worker exiting")
        going.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: going.log.read_text().count("Worker exiting") > before, 60, "the end of the old worker"
        )
        return
    if round_ % 3 == 0:
        going.kill()
        # Its worker answers in its name until it notices.
        wait_until(lambda: not _listens(port), 60, "the worker's end")
    else:
        going.terminate(40)
    balancers[place] = stage.balancer(port=port, **PATIENT)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("viewers", "rounds"),
    [
        (500, 3),
        pytest.param(10_000, 34, marks=[pytest.mark.long, pytest.mark.timeout(6_000)]),
    ],
)
def test_no_viewer_changes_arm_and_testers_are_forced_and_not_counted(
    stage: Stage, viewers: int, rounds: int
) -> None:
    main, canary = stage.arm("v1"), stage.arm("v2")
    plan = stage.publish(main, canary, share=0.3, overrides=TESTERS)
    balancers = [stage.balancer(ready=False, **PATIENT) for _ in range(3)]
    for balancer in balancers:
        wait_until(balancer.ready, 60, "a load balancer")
    users = [*TESTERS, *(f"viewer-{number}" for number in range(viewers))]
    different = 0
    for round_ in range(rounds):
        different += differing(balancers, plan, users)
        restart(stage, balancers, round_)
    requests = rounds * len(balancers) * len(users)
    print(f"{requests:,} requests, 3 load balancers, {rounds} restarts: {different} from another arm")
    assert different == 0
    for balancer in balancers:
        balancer.terminate(40)
    shown = stage.exposures()
    assert {(e.user_id, e.arm_assigned) for e in shown if e.forced} == set(TESTERS.items())
    assert len({e.user_id for e in shown}) == len(users)
