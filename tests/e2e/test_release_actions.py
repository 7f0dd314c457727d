"""What an operator does on the release page, in a real browser and by keyboard: sign in, ask, sign out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.metrics import new_registry
from load_balancer.control.app import create_control
from tests.e2e.browser import PHONE, WIDE, contrast, focused, show, wait_for
from tests.e2e.served import served
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
    with served(application) as at:
        yield at


def release_address(stage: Stage, address: str) -> str:
    return f"{address}/releases/{stage.manager.history()[0]['release_id']}"


def sign_in(browser: Any, stage: Stage, address: str, width: int = WIDE, scheme: str = "light") -> None:
    """By keyboard alone, from the release page and back to it."""
    from selenium.webdriver.common.keys import Keys

    show(browser, release_address(stage, address), width, scheme)
    browser.delete_all_cookies()
    browser.refresh()
    browser.find_element("css selector", "a.sign").send_keys(Keys.ENTER)
    wait_until(lambda: browser.current_url.startswith(f"{address}/signin"), what="the form")
    focused(browser, "#token").send_keys(TOKEN, Keys.ENTER)
    wait_for(browser, ".sign button")
    assert browser.current_url == release_address(stage, address)


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
    wait_until(lambda: browser.execute_script("return window.fetched") >= 2, what="two refreshes")
    assert browser.execute_script("return document.querySelector('details.force').open")
    assert browser.execute_script("return document.querySelector('#reason').value") == "half a sen"


def test_a_part_that_is_new_leaves_what_is_being_written(browser: Any, tmp_path: Path) -> None:
    stage = make_stage(tmp_path, script=Audience(rates=(0.2, 0.2)))
    stage.publish("v1", "v2")
    stage.manager.start("v1")
    stage.manager.start("v2")
    with served(create_control(stage.database, stage.clock, new_registry("control"), token=TOKEN)) as address:
        sign_in(browser, stage, address)
        assert not browser.find_elements("css selector", "[data-part=stages]")
        browser.find_element("css selector", "#reason").send_keys("half a sen")
        stage.pass_looks(3)
        wait_for(browser, "[data-part=stages]")
        focused(browser, "#reason").send_keys("tence")
        assert browser.execute_script("return document.querySelector('#reason').value") == "half a sentence"
        order = "return [...document.querySelectorAll('[data-part]')].map((part) => part.dataset.part)"
        grown = browser.execute_script(order)
        browser.refresh()
        assert browser.execute_script(order) == grown, "each part where a new page would have it"
        show(browser, "about:blank")


def test_a_wrong_token_says_so_and_gives_another_try(browser: Any, stage: Stage, address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.delete_all_cookies()
    show(browser, f"{address}/signin")
    focused(browser, "#token").send_keys("wrong", Keys.ENTER)
    assert "this is not the admin token" in wait_for(browser, "#wrong").text
    focused(browser, "#token[aria-invalid]")


def test_a_pause_and_a_resume_by_keyboard_are_carried_out(browser: Any, stage: Stage, address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    def badge() -> str:
        return str(browser.execute_script("return document.querySelector('.badge').textContent"))

    sign_in(browser, stage, address)
    for what, after in (("pause", "Paused"), ("resume", "Running")):
        browser.find_element("css selector", "#reason").send_keys("a drill", Keys.TAB)
        focused(browser, f"button.{what}").send_keys(Keys.ENTER)
        wait_until(lambda: "obeyed by the next tick" in browser.page_source, what="the ask")
        stage.manager.tick()
        wait_until(lambda after=after: badge() == after, what=after)  # type: ignore[misc]
    browser.find_element("css selector", ".sign button").click()
    wait_until(lambda: browser.current_url == f"{address}/releases", what="the list")
    assert wait_for(browser, "a.sign").text == "Sign in"
