"""Signing in on the control plane, and what a browser that is signed in may do."""

from __future__ import annotations

import re
from http.cookies import Morsel, SimpleCookie
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from core.clock import HOUR, MINUTE
from core.metrics import new_registry
from load_balancer.control.app import create_control
from storage import releases as store
from tests.release_support import Stage, make_stage

TOKEN = "a-token-of-24-characters"
HTML = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """v2 before a tenth of the audience of v1."""
    made = make_stage(tmp_path)
    made.publish("v1", "v2")
    made.manager.start("v1")
    made.manager.start("v2")
    return made


def client_of(stage: Stage, token: str = TOKEN, loopback: bool = True) -> FlaskClient:
    registry = new_registry("control")
    return create_control(stage.database, stage.clock, registry, token=token, loopback=loopback).test_client()


def newest(stage: Stage) -> str:
    return str(stage.manager.history()[0]["release_id"])


def sign_in(client: FlaskClient, token: str = TOKEN, **fields: str) -> TestResponse:
    return client.post("/signin", data={"token": token, **fields}, headers=HTML)


def page(client: FlaskClient, stage: Stage) -> str:
    return client.get(f"/releases/{newest(stage)}", headers=HTML).text


def csrf(client: FlaskClient, stage: Stage) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', page(client, stage))
    return found[1] if found else ""


def ask(client: FlaskClient, stage: Stage, what: str, reason: str = "a drill", **fields: str) -> TestResponse:
    data = {"csrf": csrf(client, stage), "reason": reason, **fields}
    return client.post(f"/releases/{newest(stage)}/{what}", data=data, headers=HTML)


def cookie_of(response: TestResponse) -> Morsel[str]:
    (morsel,) = SimpleCookie(response.headers["Set-Cookie"]).values()
    return morsel


def state(stage: Stage) -> str:
    return str(stage.manager.history()[0]["state"])


def test_without_a_session_there_are_no_buttons_and_forms_are_refused(stage: Stage) -> None:
    client = client_of(stage)
    assert "What you can do" not in page(client, stage)
    assert f"/signin?back={newest(stage)}" in page(client, stage)
    assert ask(client, stage, "abort").status_code == 401
    stage.manager.tick()
    assert state(stage) == "running"


def test_the_cookie_is_for_this_site_and_no_script(stage: Stage) -> None:
    answer = sign_in(client_of(stage), back=newest(stage))
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/releases/{newest(stage)}")
    cookie = cookie_of(answer)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        True,
        "Strict",
        "/",
        "",
    )
    assert TOKEN not in cookie.value
    beyond = cookie_of(sign_in(client_of(stage, loopback=False)))
    assert (beyond.key, beyond["secure"]) == ("__Host-understudy", True)


def test_a_wrong_token_is_refused_and_too_many_wait(stage: Stage) -> None:
    client = client_of(stage)
    for given in ("", "wrong", TOKEN + "x", TOKEN[:-1]):
        answer = sign_in(client, given)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (401, False)
        assert "this is not the admin token" in answer.text
    for _ in range(6):
        sign_in(client, "wrong")
    refused = sign_in(client)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    stage.clock.move(MINUTE)
    assert sign_in(client).status_code == 303


def test_without_a_token_nobody_signs_in(stage: Stage) -> None:
    client = client_of(stage, token="")
    assert "it only shows" in client.get("/signin").text
    assert sign_in(client, "").status_code == 401
    assert "/signin" not in page(client, stage)


def test_each_button_is_obeyed_by_the_next_tick(stage: Stage) -> None:
    client = client_of(stage)
    sign_in(client)
    for what, after in (
        ("pause", "paused"),
        ("resume", "running"),
        ("pause", "paused"),
        ("abort", "aborted"),
    ):
        answer = ask(client, stage, what)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/releases/{newest(stage)}")
        assert f"Asked, and obeyed by the next tick: {what}: a drill" in page(client, stage)
        stage.manager.settle()
        assert state(stage) == after
    assert "Asked on the page to pause: a drill" in page(client, stage)
    assert ask(client, stage, "abort").status_code in {401, 403, 409}


def test_a_promotion_by_force_needs_a_reason_and_says_so(stage: Stage) -> None:
    client = client_of(stage)
    sign_in(client)
    assert ask(client, stage, "promote", reason=" ").status_code == 400
    assert ask(client, stage, "promote", reason="the film festival").status_code == 303
    stage.manager.settle()
    assert state(stage) == "promoted"
    assert "By force: the film festival" in page(client, stage)
    assert "What you can do" not in page(client, stage)


def test_only_what_the_state_allows_can_be_asked(stage: Stage) -> None:
    client = client_of(stage)
    sign_in(client)
    assert ask(client, stage, "resume").status_code == 409
    assert "/resume" not in page(client, stage)
    assert ask(client, stage, "delete").status_code == 404


@pytest.mark.parametrize("given", ["", "0" * 64, "é"])
def test_a_form_of_another_page_is_refused(stage: Stage, given: str) -> None:
    client = client_of(stage)
    sign_in(client)
    assert ask(client, stage, "abort", csrf=given).status_code == 403
    answer = client.post(
        f"/releases/{newest(stage)}/abort",
        data={"csrf": csrf(client, stage)},
        headers={"Sec-Fetch-Site": "cross-site", **HTML},
    )
    assert answer.status_code == 403
    assert sign_in(client_of(stage)).status_code == 303
    assert (
        client_of(stage)
        .post("/signin", data={"token": TOKEN}, headers={"Sec-Fetch-Site": "same-site"})
        .status_code
        == 403
    )


def test_a_csrf_token_belongs_to_one_session(stage: Stage) -> None:
    one, other = client_of(stage), client_of(stage)
    sign_in(one)
    sign_in(other)
    assert csrf(one, stage) != csrf(other, stage)
    assert ask(one, stage, "abort", csrf=csrf(other, stage)).status_code == 403


def test_a_session_ends_by_itself_by_signing_out_and_with_its_token(stage: Stage) -> None:
    client = client_of(stage)
    cookie = cookie_of(sign_in(client))
    assert csrf(client, stage)
    other_token = client_of(stage, token="another-token-of-some-length")
    other_token.set_cookie(cookie.key, cookie.value)
    assert not csrf(other_token, stage)
    stage.clock.move(8 * HOUR + MINUTE)
    assert not csrf(client, stage)
    sign_in(client)
    assert client.post("/signout", data={"csrf": csrf(client, stage)}).status_code == 303
    assert not csrf(client, stage)


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "é", "x" * 3_000])
def test_a_forged_cookie_is_no_session(stage: Stage, value: str) -> None:
    client = client_of(stage)
    client.set_cookie("understudy", value)
    assert not csrf(client, stage)


def test_the_way_back_is_only_ever_a_page_of_ours(stage: Stage) -> None:
    for back in ("//evil.example", "https://evil.example/", "../x"):
        location = sign_in(client_of(stage), back=back).headers["Location"]
        assert location.startswith("/releases/")


def test_beyond_loopback_a_session_reads_too(stage: Stage) -> None:
    client = client_of(stage, loopback=False)
    client.environ_base["wsgi.url_scheme"] = "https"
    assert client.get("/releases", headers=HTML).status_code == 401
    assert client.get("/signin").status_code == 200
    assert client.get("/static/control.css").status_code == 200
    cookie = cookie_of(sign_in(client))
    answer = client.get("/releases", headers={**HTML, "Cookie": f"{cookie.key}={cookie.value}"})
    assert answer.status_code == 200


def test_asks_over_the_api_are_answered_once_each_and_in_order(stage: Stage) -> None:
    client, bearer = client_of(stage), {"Authorization": f"Bearer {TOKEN}"}
    address = f"/api/releases/{newest(stage)}"
    for what in ("pause", "pause", "abort"):
        assert client.post(f"{address}/{what}", headers=bearer).status_code == 202
    assert client.post(f"{address}/promote", headers=bearer).status_code == 400
    stage.manager.tick()
    with stage.database.read() as connection:
        events = store.events_of(connection, newest(stage))
    told = [event.kind for event in events if event.kind.startswith("ask_")]
    assert told == ["ask_done", "ask_refused", "ask_done"]
    assert "Asked to pause, but release of v2 is paused" in page(client, stage)
    assert "Done as asked" not in page(client, stage)
    stage.manager.settle()
    assert state(stage) == "aborted"
