"""The control plane: its pages, JSON, health and admin API, through Flask's test client."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from core.health import ALIVE
from core.metrics import new_registry
from load_balancer.control.app import create_control
from load_balancer.control.metrics import ReleaseCollector
from load_balancer.control.reading import Reader
from storage import releases as store
from tests.release_support import Audience, Script, Stage, look_result, make_stage

TOKEN = "a-token-of-24-characters"
HTML = {"Accept": "text/html"}


def control_of(stage: Stage, token: str = "", loopback: bool = True) -> Flask:
    registry = new_registry("control")
    registry.register(ReleaseCollector(Reader(stage.database)))
    return create_control(
        stage.database, stage.clock, registry, token=token, loopback=loopback, version="1.2.3"
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """v1 installed, v2 refused and then rolled back, v3 running with twelve looks."""
    audience = Audience(rates=(0.2, 0.3))
    made = make_stage(
        tmp_path_factory.mktemp("control"),
        script=Script(
            {1: lambda look, at_ms: look_result(look, at_ms, "roll_back", why="<b>Worse</b> & so on.")}
        ),
        gate=lambda candidate, main: ["weak offline"] if candidate.version == "v2" else [],
    )
    made.publish("v1", "v2", "v3")
    made.manager.start("v1")
    with pytest.raises(Exception, match="weak offline"):
        made.manager.start("v2")
    made.clock.move(1_000)
    made.manager.start("v2", force=True, reason="a drill")
    made.pass_looks()
    made.manager.settle()
    made.manager._worker._evaluator = audience
    made.manager.start("v3")
    made.pass_looks(12)
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    return control_of(stage, TOKEN).test_client()


def newest(stage: Stage) -> str:
    return str(stage.manager.history()[0]["release_id"])


class Checker(HTMLParser):
    """Finds what a page must not have, and collects its ids and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "action"}:
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(tag)
        if tag in {"style", "script"} and not dict(attrs).get("src"):
            self.inline.append(tag)


def checked(page: str) -> Checker:
    found = Checker()
    found.feed(page)
    return found


def paths(stage: Stage) -> Iterator[str]:
    yield "/releases"
    for row in stage.manager.history():
        yield f"/releases/{row['release_id']}"


def test_every_page_answers_and_fetches_nothing_from_elsewhere(stage: Stage, client: FlaskClient) -> None:
    for path in paths(stage):
        answer = client.get(path)
        assert answer.status_code == 200, path
        found = checked(answer.text)
        assert not found.inline, f"{path}: the content security policy forbids inline style and script"
        assert all(a.startswith(("/", "#")) and not a.startswith("//") for a in found.addresses), path
        assert len(found.ids) == len(set(found.ids)), path
        assert found.headings[0] == "h1"
        for address in found.addresses:
            if address.startswith("/static/"):
                assert client.get(address).status_code == 200, address


def test_headers_let_nothing_in(client: FlaskClient) -> None:
    headers = client.get("/releases").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_what_comes_from_rows_is_text_not_markup(stage: Stage, client: FlaskClient) -> None:
    row = stage.manager.history()[1]
    page = client.get(f"/releases/{row['release_id']}").text
    assert "&lt;b&gt;Worse&lt;/b&gt; &amp; so on." in page
    assert "<b>Worse" not in page


def test_the_running_release_shows_its_plots_and_what_comes_next(stage: Stage, client: FlaskClient) -> None:
    page = client.get(f"/releases/{newest(stage)}").text
    assert "v3 plays for 50% of the audience, v1 for the rest." in page
    assert "The next look is at" in page
    assert "data-live" in page
    drawings = [part.split("</svg>")[0] for part in page.split('<svg class="plot')[1:]]
    assert len(drawings) == 6, "estimate, evidence and share, each for a wide and a narrow page"
    for drawing in drawings:
        ET.fromstring(f'<svg class="plot{drawing}</svg>')
        assert "nan" not in drawing


def test_a_closed_release_is_final(stage: Stage, client: FlaskClient) -> None:
    row = stage.manager.history()[1]
    page = client.get(f"/releases/{row['release_id']}").text
    assert "Rolled back" in page
    assert "v2 has left the stage; v1 plays on." in page
    assert "data-live" not in page
    assert "What happens next" not in page


def test_json_tells_the_same(stage: Stage, client: FlaskClient) -> None:
    listed = client.get("/api/releases").json["releases"]
    assert [row["state"] for row in listed] == ["running", "rolled_back", "refused", "promoted"]
    one = client.get(f"/api/releases/{newest(stage)}").json
    assert [look["look"] for look in one["looks"]] == list(range(1, 13))
    assert one["plans"][0]["share"] == 0.1
    assert one["next"]


def test_unknown_releases_and_routes(client: FlaskClient) -> None:
    assert client.get("/releases/nothing", headers=HTML).status_code == 404
    answer = client.get("/api/releases/nothing")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
    assert client.post("/releases").status_code == 405
    assert client.get("/releases/a%2fb", headers=HTML).status_code == 404


def test_home_leads_to_the_releases_whatever_the_host(client: FlaskClient) -> None:
    assert client.get("/").headers["Location"] == "releases"
    assert client.get("/releases", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/releases", headers={"Host": "localhost:8081"}).status_code == 200


def test_health_metrics_and_version(client: FlaskClient) -> None:
    assert client.get("/livez").json == ALIVE
    assert client.get("/readyz").json == {"ready": True, "problems": {}}
    assert client.get("/version").json == {"service": "control", "version": "1.2.3"}
    text = client.get("/metrics").text
    assert 'understudy_releases{state="rolled_back"} 1.0' in text
    assert 'understudy_verdicts_total{verdict="roll_back"} 1.0' in text
    assert "understudy_release_next_look_timestamp_seconds" in text


def test_not_ready_and_a_page_that_says_so_while_the_store_is_away(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    client = control_of(stage).test_client()
    stage.database.close()
    for path in tmp_path.glob("understudy.db*"):
        path.unlink()
    tmp_path.joinpath("understudy.db").mkdir()
    assert client.get("/readyz").status_code == 503
    answer = client.get("/releases", headers=HTML)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert client.get("/metrics").status_code == 200
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_nobody_changes_anything_without_the_token(
    stage: Stage, client: FlaskClient, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = client.post(f"/api/releases/{newest(stage)}/abort", headers=headers)
    assert answer.status_code == 401
    assert TOKEN not in answer.text
    assert "abort_asked" not in kinds(stage)


def test_without_a_token_nobody_changes_anything_at_all(stage: Stage) -> None:
    client = control_of(stage).test_client()
    for given in ("", "Bearer ", "Bearer x"):
        answer = client.post(f"/api/releases/{newest(stage)}/abort", headers={"Authorization": given})
        assert answer.status_code == 401
    assert "abort_asked" not in kinds(stage)


def test_beyond_loopback_reading_needs_the_token_too(stage: Stage) -> None:
    client = control_of(stage, TOKEN, loopback=False).test_client()
    assert client.get("/releases").status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/livez").status_code == 200
    assert client.get("/releases", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"[" * 9_000, "application/json", 400),
        (b'{"reason": 1}', "application/json", 400),
        (b'{"reason": "x", "more": 1}', "application/json", 400),
        (b'{"reason": "' + b"x" * 600 + b'"}', "application/json", 400),
        (b"reason=x", "application/x-www-form-urlencoded", 415),
        (b"x" * 20_000, "application/json", 413),
    ],
)
def test_bad_reasons(stage: Stage, client: FlaskClient, body: bytes, kind: str, status: int) -> None:
    answer = client.post(
        f"/api/releases/{newest(stage)}/abort",
        data=body,
        content_type=kind,
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert answer.status_code == status


def test_an_abort_with_the_token_is_obeyed_by_the_next_tick(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    stage.publish("v1", "v2")
    stage.manager.start("v1")
    stage.manager.start("v2")
    client = control_of(stage, TOKEN).test_client()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    address = f"/api/releases/{newest(stage)}/abort"
    assert client.post(address, json={"reason": "odd lists"}, headers=bearer).status_code == 202
    assert client.post("/api/releases/none/abort", headers=bearer).status_code == 404
    stage.manager.settle()
    assert stage.manager.history()[0]["state"] == "aborted"
    assert "Aborted: odd lists" in client.get(f"/releases/{newest(stage)}").text
    assert client.post(address, headers=bearer).status_code == 409


def kinds(stage: Stage) -> list[str]:
    with stage.database.read() as connection:
        return [event.kind for event in store.events_of(connection, newest(stage))]
