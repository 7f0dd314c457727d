"""Real HAProxy under a generated configuration: the same arm for every viewer, and the other arm when one is gone."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3

from core.traffic import TrafficPlan
from load_balancer.assignment import assign
from load_balancer.haproxy import Options, configuration
from tests import servers
from tests.fake_arm import requests_seen, set_mode
from tests.serving import Running, Stage, http_get, open_stage
from tests.support import free_port, wait_until

pytestmark = pytest.mark.haproxy
Starter = Callable[[str, int], servers.Server]
TESTERS = {"tester-1": "canary", "tester-2": "main", "a:b@c.d~e-f_g": "canary"}
ANY = string.ascii_letters + string.digits


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as stage:
        yield stage


def viewers(count: int) -> list[str]:
    """Ids of every length and every character that an id may have."""
    draw = random.Random(count)
    lengths = (draw.randint(0, 63) for _ in range(count))
    return [draw.choice(ANY) + "".join(draw.choices(f"{ANY}_.:@~-", k=length)) for length in lengths]


def versions(url: str, users: Sequence[str]) -> list[str]:
    """The version that answers each viewer, over one connection; now and then in percent-encoding."""
    host, port = url.removeprefix("http://").split(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    found = []
    for number, user in enumerate(users):
        path = "".join(f"%{ord(c):02x}" for c in user) if number % 10 == 0 else quote(user, safe="")
        connection.request("GET", f"/recommend/{path}?count=1")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (user, answer.status, body)
        assert f'"user_id": "{user}"'.encode() in body, (user, body)
        found.append("v2" if b'"version": "v2"' in body else "v1")
    connection.close()
    return found


def differing(url: str, plan: TrafficPlan, users: Sequence[str], threads: int = 4) -> int:
    """How many of the viewers get another version than the plan gives them."""
    with ThreadPoolExecutor(threads) as pool:
        parts = [users[first::threads] for first in range(threads)]
        got = list(pool.map(lambda part: versions(url, part), parts))
    wanted = [["v2" if assign(plan, user) == "canary" else "v1" for user in part] for part in parts]
    return sum(
        a != b for one, other in zip(got, wanted, strict=True) for a, b in zip(one, other, strict=True)
    )


def run(haproxy: Starter, plan: TrafficPlan, **given: object) -> str:
    port = free_port()
    haproxy(configuration(plan, Options(f"127.0.0.1:{port}", 600, 2_000, **given)), port)  # type: ignore[arg-type]
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: http_get(f"{url}/recommend/u1?count=1").status == 200, 20, "HAProxy")
    return url


@pytest.mark.parametrize(
    ("count", "share"),
    [
        (3_000, 0.37),
        (1_000, 0.0),
        (1_000, 1.0),
        pytest.param(100_000, 0.1, marks=[pytest.mark.long, pytest.mark.timeout(3_000)]),
    ],
)
def test_haproxy_gives_every_viewer_the_same_arm(
    stage: Stage, haproxy: Starter, count: int, share: float
) -> None:
    plan = stage.publish(stage.arm("v1"), stage.arm("v2"), share=share, overrides=TESTERS)
    users = [*TESTERS, *viewers(count - len(TESTERS))]
    different = differing(run(haproxy, plan), plan, users)
    print(f"{len(users):,} viewers, share {share:g}: {different} assigned differently")
    assert different == 0


def test_the_other_arm_answers_when_one_is_gone(stage: Stage, haproxy: Starter) -> None:
    main, canary = stage.arm("v1"), stage.arm("v2")
    url = run(haproxy, stage.publish(main, canary, share=1.0))
    assert set(versions(url, viewers(20))) == {"v2"}
    set_mode(canary.url, "error500")  # it still says that it is ready: each request is tried again elsewhere
    assert set(versions(url, viewers(20))) == {"v1"}
    canary.kill()
    assert set(versions(url, viewers(20))) == {"v1"}
    said = http_get(f"{url}/recommend/u1")
    assert (said.headers["X-Understudy-Assigned"], said.headers["X-Understudy-Arm"]) == ("canary", "main")
    main.kill()
    wait_until(lambda: http_get(f"{url}/recommend/u1").status == 503, 20, "503")
    answer = http_get(f"{url}/recommend/u1")
    assert (answer.headers["Retry-After"], answer.headers["Content-Type"]) == (
        "1",
        "application/problem+json",
    )


def test_a_plan_without_a_canary_is_main_for_everybody(stage: Stage, haproxy: Starter) -> None:
    plan = stage.publish(stage.arm("v1"), share=0.0)
    assert differing(run(haproxy, plan), plan, viewers(50)) == 0


def test_what_is_no_viewer_never_reaches_an_arm(stage: Stage, haproxy: Starter) -> None:
    arm = stage.arm("v1")
    url = run(haproxy, stage.publish(arm))
    before = len(requests_seen(arm.url))
    bad = [
        "",
        "x" * 65,
        "u1%0a",
        "u1%00",
        "%D9%A3",
        "-u",
        "a%2fb",
        "a/b",
        "..%2fmode%2fslow",
        "%40evil",
        "u%20",
    ]
    assert {http_get(f"{url}/recommend/{user}").status for user in bad} == {400}
    assert http_get(f"{url}/mode/slow").status == 404
    assert urllib3.request("POST", f"{url}/recommend/u1", retries=False).status == 405
    assert len(requests_seen(arm.url)) == before


def test_clients_headers_are_dropped(stage: Stage, haproxy: Starter) -> None:
    arm = stage.arm("v1")
    url = run(haproxy, stage.publish(arm))
    sent = {"X-Forwarded-For": "6.6.6.6", "X-Understudy-Request-Id": "mine", "Forwarded": "for=6.6.6.6"}
    assert http_get(f"{url}/recommend/headers", **sent).status == 200
    (head,) = [head for head in requests_seen(arm.url) if "/recommend/headers" in head]
    assert "6.6.6.6" not in head
    assert "mine" not in head
    assert head.lower().count("x-understudy-request-id") == 1


def test_what_haproxy_cannot_do_goes_on_to_a_load_balancer(stage: Stage, haproxy: Starter) -> None:
    plan = stage.publish(stage.arm("v1"))
    balancer: Running = stage.balancer()
    url = run(haproxy, plan, balancers=[balancer.url])
    assert http_get(f"{url}/version").json()["service"] == "load_balancer"
    assert urllib3.request("POST", f"{url}/events", json=[], retries=False).status == 400


def test_the_command_writes_what_haproxy_accepts(stage: Stage, haproxy: Starter, tmp_path: Path) -> None:
    main, canary = stage.arm("v1"), stage.arm("v2")
    plan = stage.publish(main, canary, overrides=TESTERS)
    file, port = tmp_path / "haproxy.cfg", free_port()
    command = ["-m", "understudy", "haproxy", "--out", str(file), "--listen", f"127.0.0.1:{port}"]
    said = stage.start("command", 0, command, UNDERSTUDY_HOME=str(stage.home))
    assert said.process.wait(60) == 0, said.log.read_text()
    haproxy(file.read_text(), port)
    assert differing(f"http://127.0.0.1:{port}", plan, list(TESTERS)) == 0
