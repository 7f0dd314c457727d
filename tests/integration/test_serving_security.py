"""Over real processes: headers that let nothing in, clients' headers that change nothing, secrets that stay one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.fake_arm import requests_seen
from tests.serving import Running, Stage, http_get, open_stage
from tests.support import free_port, wait_until

SECRET = "correct-horse-battery"
# What proxies say about a client, and what would be ours to say; `marker` is looked for everywhere.
SENT = {
    "X-Forwarded-For": "6.6.6.6, marker",
    "X-Forwarded-Host": "marker.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/marker",
    "X-Real-IP": "6.6.6.6",
    "X-Original-URL": "/marker",
    "X-Rewrite-URL": "/marker",
    "X-HTTP-Method-Override": "DELETE",
    "Forwarded": "for=marker;host=marker.example",
    "X-Request-Id": "marker",
    "X-Understudy-Request-Id": "marker",
    "X-Understudy-Arm": "canary",
    "X-Understudy-Assigned": "canary",
    "X-Understudy-User": "marker",
}
PAGES = ("/livez", "/readyz", "/metrics", "/version", "/openapi.json", "/nothing-here")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("security")) as stage:
        stage.publish(stage.arm("v1"), stage.arm("v2"), share=0.0)
        stage.balancer()
        control(stage)
        yield stage


def control(stage: Stage, **environment: str) -> Running:
    port = free_port()
    settings = {"UNDERSTUDY_HOME": str(stage.home), "UNDERSTUDY_CONTROL_TOKEN": SECRET, **environment}
    running = stage.start("control", port, ["-m", "understudy", "control", "--port", str(port)], **settings)
    wait_until(running.ready, 60, "the control plane")
    return running


@pytest.fixture
def balancer(stage: Stage) -> Running:
    return stage.running[2]


@pytest.fixture
def pages(stage: Stage) -> Running:
    return stage.running[3]


def check_locked(answer: urllib3.BaseHTTPResponse) -> None:
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_every_page_of_the_load_balancer_lets_nothing_in(balancer: Running) -> None:
    for path in PAGES:
        answer = http_get(f"{balancer.url}{path}")
        check_locked(answer)
        assert (answer.headers["X-Content-Type-Options"], answer.headers["Cache-Control"]) == (
            "nosniff",
            "no-store",
        )
    for path in ("/recommend/u1", "/recommend/", "/trending", "/events"):
        answer = http_get(f"{balancer.url}{path}")
        assert (answer.headers["X-Content-Type-Options"], answer.headers["Cache-Control"]) == (
            "nosniff",
            "no-store",
        )


def test_every_page_of_the_control_plane_lets_nothing_in(pages: Running) -> None:
    for path in (
        "/",
        "/releases",
        "/releases/none",
        "/api/releases",
        "/api/releases/none",
        "/signin",
        *PAGES,
    ):
        check_locked(http_get(f"{pages.url}{path}"))
    check_locked(http_get(f"{pages.url}/releases", host="evil.example"))
    check_locked(urllib3.request("POST", f"{pages.url}/signin", fields={"token": "wrong"}, retries=False))
    check_locked(urllib3.request("POST", f"{pages.url}/api/releases/none/abort", retries=False))


def test_clients_headers_change_nothing_at_the_load_balancer(stage: Stage, balancer: Running) -> None:
    main, canary = stage.running[:2]
    for path in ("/recommend/u1?count=3", "/trending?count=3", "/videos/m1/similar", "/search?q=x"):
        plain, dressed = http_get(f"{balancer.url}{path}"), http_get(f"{balancer.url}{path}", **SENT)
        assert (dressed.status, dressed.json()["arm"]) == (plain.status, "main"), path
        assert dressed.json()["items"] == plain.json()["items"]
        assert b"marker" not in dressed.data
        assert "marker" not in str(dressed.headers)
    for path in PAGES:
        plain, dressed = http_get(f"{balancer.url}{path}"), http_get(f"{balancer.url}{path}", **SENT)
        assert (dressed.status, b"marker" in dressed.data) == (plain.status, False), path
    heads = "".join(requests_seen(main.url))
    assert "marker" not in heads
    assert "6.6.6.6" not in heads
    assert requests_seen(canary.url) == []
    assert "marker" not in balancer.log.read_text()


def test_clients_headers_change_nothing_at_the_control_plane(pages: Running) -> None:
    for path in ("/", "/releases", "/signin", "/api/releases", "/nothing-here"):
        plain, dressed = http_get(f"{pages.url}{path}"), http_get(f"{pages.url}{path}", **SENT)
        assert (dressed.status, dressed.headers.get("Location")) == (
            plain.status,
            plain.headers.get("Location"),
        )
        assert b"marker" not in dressed.data
    # A name that is not ours is refused, whatever a proxy is said to have seen.
    refused = http_get(f"{pages.url}/releases", **{"Host": "evil.example", "X-Forwarded-Host": "localhost"})
    assert refused.status == 400
    assert "marker" not in pages.log.read_text()


def test_the_admin_token_is_in_no_log_and_no_answer(pages: Running) -> None:
    wrong = {"Authorization": f"Bearer {SECRET}x"}
    for answer in (
        urllib3.request("POST", f"{pages.url}/api/releases/none/abort", headers=wrong, retries=False),
        urllib3.request("POST", f"{pages.url}/signin", fields={"token": SECRET + "x"}, retries=False),
        urllib3.request(
            "POST",
            f"{pages.url}/api/releases/none/abort",
            headers={"Authorization": f"Bearer {SECRET}"},
            body=b"{",
            retries=False,
        ),
        http_get(f"{pages.url}/nothing?token={SECRET}"),
    ):
        assert answer.status in {400, 401, 404, 415}
        assert SECRET.encode() not in answer.data
        assert SECRET not in str(answer.headers)
    assert SECRET not in pages.log.read_text()


POSTGRESQL = (
    "UNDERSTUDY_DATABASE_URL",
    "postgresql://understudy:{secret}@127.0.0.1:{port}/x?connect_timeout=2",
)
MONGODB = ("UNDERSTUDY_MONGODB_URL", "mongodb://understudy:{secret}@127.0.0.1:{port}/x")
NO_DRIVER = ("UNDERSTUDY_DATABASE_URL", "nonsense://understudy:{secret}@127.0.0.1:{port}/x")
NO_SCHEME = ("UNDERSTUDY_MONGODB_URL", "nonsense://understudy:{secret}@127.0.0.1:{port}/x")


@pytest.mark.parametrize(
    ("command", "variable", "url"),
    [
        ("balance", *POSTGRESQL),
        ("ingest", *MONGODB),
        *(
            pytest.param(command, *where, marks=pytest.mark.long)
            for command, where in [
                ("ingest", POSTGRESQL),
                ("balance", NO_DRIVER),
                ("ingest", NO_DRIVER),
                ("ingest", NO_SCHEME),
            ]
        ),
    ],
)
def test_a_password_of_a_server_that_is_away_is_in_no_log(
    tmp_path: Path, command: str, variable: str, url: str
) -> None:
    with open_stage(tmp_path) as stage:
        settings = {variable: url.format(secret=SECRET, port=free_port()), "UNDERSTUDY_HOME": str(tmp_path)}
        port = free_port()
        running = stage.start(command, port, ["-m", "understudy", command, "--port", str(port)], **settings)
        wait_until(
            lambda: running.process.poll() is not None or _says(running, "/readyz"), 60, "a word of it"
        )
        said = running.log.read_bytes() + b"".join(_says(running, path) for path in PAGES)
        assert said
        assert SECRET.encode() not in said


def _says(running: Running, path: str) -> bytes:
    try:
        return http_get(f"{running.url}{path}").data
    except urllib3.exceptions.HTTPError:
        return b""
