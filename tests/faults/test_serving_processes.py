"""The load balancer's own process: events it has said yes to, its end, its reload, its start."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import pytest
import urllib3

from core.clock import SystemClock, format_ms
from core.errors import DependencyError
from core.events import parse_event
from core.ids import new_id
from tests.fake_arm import requests_seen, set_mode
from tests.serving import Stage, http_get, open_stage
from tests.serving_trials import reload_under_load
from tests.support import wait_until
from understudy.client import Client


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as stage:
        yield stage


def event(number: int) -> dict[str, object]:
    return {
        "event_id": new_id(),
        "user_id": f"user-{number}",
        "video_id": f"m{number}",
        "event_type": "view",
        "details": {"source": "recommendation"},
        "timestamp": format_ms(SystemClock().now_ms()),
    }


def test_acknowledged_events_survive_a_kill(stage: Stage) -> None:
    stage.publish(stage.arm("v1"))
    balancer = stage.balancer()
    client, stop = Client(balancer.url), threading.Event()
    acknowledged: list[str] = []

    def post(number: int) -> None:
        while not stop.is_set():
            events = [event(number) for _ in range(3)]
            try:
                assert client.post_events(events).accepted == 3
            except DependencyError:
                return
            acknowledged.extend(str(e["event_id"]) for e in events)

    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            pool.submit(post, number)
        wait_until(lambda: len(acknowledged) > 300, 30)
        balancer.kill()
        stop.set()
    stored = [parse_event(record.value or b"", record.timestamp_ms).event_id for record in stage.events()]
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


def test_events_are_refused_in_time_while_the_log_is_stuck_and_recommendations_go_on(stage: Stage) -> None:
    stage.publish(stage.arm("v1"))
    balancer = stage.balancer(UNDERSTUDY_BALANCER_EVENTS_MS="300")
    lock = sqlite3.connect(stage.home / "events.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    body = json.dumps(event(1)).encode()
    began = perf_counter()
    answer = urllib3.request(
        "POST",
        f"{balancer.url}/events",
        body=body,
        headers={"content-type": "application/json"},
        retries=False,
    )
    assert perf_counter() - began < 5  # half of what an append waits for the file
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert http_get(f"{balancer.url}/recommend/u1").status == 200
    lock.execute("ROLLBACK")
    lock.close()
    assert Client(balancer.url, timeout_s=20).post_events([event(2)]).accepted == 1
    wait_until(lambda: len(stage.exposures()) == 1, 20)


def test_sigterm_lets_requests_in_flight_finish_and_writes_their_exposures(stage: Stage) -> None:
    # F31
    arm = stage.arm("v1")
    stage.publish(arm)
    balancer = stage.balancer(UNDERSTUDY_BALANCER_ATTEMPT_MS="5000", UNDERSTUDY_BALANCER_REQUEST_MS="5000")
    set_mode(arm.url, "slow")
    with ThreadPoolExecutor(10) as pool:
        answers = [
            pool.submit(http_get, f"{balancer.url}/recommend/u{i}", connection="close") for i in range(10)
        ]
        wait_until(lambda: _in_flight(arm.url) == 10, 10)
        code = balancer.terminate()
        assert [answer.result().status for answer in answers] == [200] * 10
    assert code == 0
    assert len(stage.exposures()) == 10


def _in_flight(arm_url: str) -> int:
    return len(requests_seen(arm_url))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_nothing_that_was_shown_is_forgotten_at_the_end(stage: Stage, sign: signal.Signals) -> None:
    stage.publish(stage.arm("v1"))
    balancer = stage.balancer()
    client = Client(balancer.url)
    shown = {client.recommend(f"user-{i}").request_id for i in range(300)}
    client.close()
    balancer.process.send_signal(sign)
    balancer.process.wait(20)
    assert {e.request_id for e in stage.exposures()} == shown


def test_reloads_and_recyclings_under_load_lose_nothing(stage: Stage) -> None:
    # F30, a short form
    stage.publish(stage.arm("v1"))
    visits = reload_under_load(stage.balancer(), 4)
    assert visits.lost == []
    assert len(visits.seen) > 100


def test_it_starts_without_a_plan_and_becomes_ready_with_the_first(stage: Stage) -> None:
    balancer = stage.balancer(ready=False)
    wait_until(lambda: "listening" in balancer.log.read_text(), 20)
    ready = http_get(f"{balancer.url}/readyz")
    assert ready.status == 503
    assert "no traffic plan" in ready.json()["problems"]["traffic_plan"]
    assert http_get(f"{balancer.url}/livez").status == 200
    assert http_get(f"{balancer.url}/recommend/u1").status == 503
    stage.publish(stage.arm("v1"))
    wait_until(balancer.ready, 5)
    assert http_get(f"{balancer.url}/recommend/u1").status == 200


def test_testers_are_forced_and_marked(stage: Stage) -> None:
    stage.publish(stage.arm("v1"), stage.arm("v2"), share=0.0, overrides={"tester": "canary"})
    balancer = stage.balancer()
    client = Client(balancer.url)
    assert (client.recommend("tester").arm, client.recommend("viewer").arm) == ("canary", "main")
    client.close()
    balancer.terminate()
    assert {(e.user_id, e.arm_assigned, e.forced) for e in stage.exposures()} == {
        ("tester", "canary", True),
        ("viewer", "main", False),
    }


def test_it_listens_on_loopback_only_and_two_cannot_share_a_port(stage: Stage) -> None:
    stage.publish(stage.arm("v1"))
    balancer = stage.balancer()
    port = int(balancer.url.rsplit(":", 1)[1])
    second = stage.balancer(ready=False, port=port)
    assert second.process.wait(30) != 0
    assert "in use" in second.log.read_text()
    assert f"127.0.0.1:{port}" in balancer.log.read_text()
