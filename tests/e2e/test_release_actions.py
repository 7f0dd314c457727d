"""What an operator does on the release page, in a real browser and by keyboard: sign in, ask, sign out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from core.metrics import new_registry
from load_balancer.control.app import create_control
from tests.e2e.browser import PHONE, WIDE, contrast, show
from tests.release_support import Audience, Stage, make_stage
from tests.support import wait_until

pytestmark = pytest.mark.chromium

TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """v2 on stage 1 with a few looks."""
    made = make_stage(tmp_path_factory.mktemp("actions"), script=Audience(rates=(0.2, 0.2)))
    made.publish("v1", "v2")
    made.manager.start("v1")
    made.manager.start("v2")
    made.pass_looks(3)
    return made


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    application = create_control(stage.database, stage.clock, new_registry("control"), token=TOKEN)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def release_address(stage: Stage, address: str) -> str:
    return f"{address}/releases/{stage.manager.history()[0]['release_id']}"


def sign_in(browser: Any, stage: Stage, address: str, width: int = WIDE, scheme: str = "light") -> None:
    """By keyboard alone, from the release page and back to it."""
    from selenium.webdriver.common.keys import Keys

    show(browser, release_address(stage, address), width, scheme)
    browser.delete_all_cookies()
    browser.refresh()
    browser.find_element("css selector", "a.sign").send_keys(Keys.ENTER)
    wait_until(lambda: browser.current_url.startswith(f"{address}/signin"), 10, "the form")
    assert browser.switch_to.active_element.get_attribute("name") == "token"
    browser.switch_to.active_element.send_keys(TOKEN, Keys.ENTER)
    wait_until(lambda: browser.current_url == release_address(stage, address), 10, "the release page")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_an_operator_signs_in_and_finds_the_buttons(
    browser: Any, stage: Stage, address: str, width: int, scheme: str, tmp_path: Path
) -> None:
    sign_in(browser, stage, address, width, scheme)
    assert browser.execute_script("return document.cookie") == "", "no script reads the session"
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    browser.find_element("css selector", "details.force summary").click()
    for selector in (
        ".act label",
        "button.abort",
        "button.pause",
        "button.promote",
        "details.force summary",
        ".sign button",
    ):
        assert contrast(browser, selector) >= 4.5, selector
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('.act button')].map((b) => b.getBoundingClientRect().height)"
    )
    assert len(sizes) == 3
    assert all(size >= 44 for size in sizes), "large enough for a finger"
    browser.execute_script("document.querySelector('[data-part=actions]').scrollIntoView()")
    assert browser.save_screenshot(str(tmp_path / f"actions-{scheme}-{width}.png"))
    assert browser.get_log("browser") == []


def test_what_is_opened_and_written_outlives_the_refresh(browser: Any, stage: Stage, address: str) -> None:
    sign_in(browser, stage, address)
    browser.find_element("css selector", "details.force summary").click()
    browser.find_element("css selector", "#reason").send_keys("half a sen")
    browser.execute_script(
        "document.activeElement.blur();"
        "window.fetched = 0; const get = window.fetch;"
        "window.fetch = async (...what) => { const got = await get(...what); window.fetched += 1; return got; }"
    )
    wait_until(lambda: browser.execute_script("return window.fetched") >= 2, 15, "two refreshes")
    assert browser.execute_script("return document.querySelector('details.force').open")
    assert browser.execute_script("return document.querySelector('#reason').value") == "half a sen"


def test_a_wrong_token_says_so_and_gives_another_try(browser: Any, stage: Stage, address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.delete_all_cookies()
    show(browser, f"{address}/signin")
    browser.switch_to.active_element.send_keys("wrong", Keys.ENTER)
    wait_until(lambda: "this is not the admin token" in browser.page_source, 10, "the refusal")
    assert browser.switch_to.active_element.get_attribute("name") == "token"


def test_a_pause_and_a_resume_by_keyboard_are_carried_out(browser: Any, stage: Stage, address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    def badge() -> str:
        return str(browser.execute_script("return document.querySelector('.badge').textContent"))

    sign_in(browser, stage, address)
    for what, after in (("pause", "Paused"), ("resume", "Running")):
        browser.find_element("css selector", "#reason").send_keys("a drill", Keys.TAB)
        pressed = browser.switch_to.active_element
        assert pressed.get_attribute("class") == what
        pressed.send_keys(Keys.ENTER)
        wait_until(lambda: "obeyed by the next tick" in browser.page_source, 10, "the ask")
        stage.manager.tick()
        wait_until(lambda after=after: badge() == after, 15, after)  # type: ignore[misc]
    browser.find_element("css selector", ".sign button").click()
    wait_until(lambda: browser.current_url == f"{address}/releases", 10, "the list")
    assert "Sign in" in browser.page_source
