"""The release page in a real browser: light and dark, wide and on a phone, by keyboard, and live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.metrics import new_registry
from load_balancer.control.app import create_control
from tests.e2e.browser import PHONE, WIDE, asked_for, contrast, drawn, labels_in_the_way, show
from tests.e2e.served import served
from tests.release_support import PLAN, Audience, Stage, make_stage
from tests.support import wait_until

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """v2 on stage 1 with a dozen looks."""
    made = make_stage(tmp_path_factory.mktemp("page"), script=Audience(rates=(0.2, 0.21)))
    made.publish("v1", "v2")
    made.manager.start("v1")
    made.manager.start("v2", plan=replace(PLAN, min_duration_ms=500_000))
    made.pass_looks(12)
    return made


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    with served(create_control(stage.database, stage.clock, new_registry("control"))) as at:
        yield at


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The longest name a version may have, a reason that is one long word, and both stages within four looks of 80."""
    made = make_stage(tmp_path_factory.mktemp("crowded"), script=Audience())
    version, word = "recommender-" + 51 * "w", "https://example.org/" + 300 * "x"
    made.publish("v1", version)
    made.manager.start("v1")
    made.clock.move(1)
    made.manager.start(version, plan=replace(PLAN, min_duration_ms=500_000), reason=word)
    made.pass_looks(80)
    made.manager.pause(word)
    return made


@pytest.fixture(scope="module")
def crowded_address(crowded: Stage) -> Iterator[str]:
    with served(create_control(crowded.database, crowded.clock, new_registry("control"))) as at:
        yield at


def release_address(stage: Stage, address: str) -> str:
    return f"{address}/releases/{stage.manager.history()[0]['release_id']}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_nothing_is_cut_off_blocked_or_fetched_from_elsewhere(
    browser: Any, stage: Stage, address: str, width: int, scheme: str
) -> None:
    for page in (f"{address}/releases", release_address(stage, address)):
        show(browser, page, width, scheme)
        assert browser.execute_script("return document.documentElement.scrollWidth") == width, page
        assert browser.get_log("browser") == [], "no error, and nothing that the content policy blocks"
        asked = asked_for(browser)
        assert asked
        assert all(url.startswith(address) for url in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(browser: Any, stage: Stage, address: str, scheme: str) -> None:
    show(browser, release_address(stage, address), scheme=scheme)
    for selector in (
        "h1",
        ".lead",
        ".badge",
        "figcaption",
        ".facts dt",
        ".beneath",
        "thead th.canary",
        ".story time",
    ):
        assert contrast(browser, selector) >= 4.5, selector


def test_each_width_has_its_own_drawing(browser: Any, stage: Stage, address: str) -> None:
    for width, name in ((WIDE, "wide"), (PHONE, "narrow")):
        show(browser, release_address(stage, address), width)
        assert drawn(browser) == [name] * 3


def test_labels_of_a_plot_lie_on_it_and_not_on_each_other(browser: Any, stage: Stage, address: str) -> None:
    for width in (WIDE, PHONE):
        show(browser, release_address(stage, address), width)
        assert labels_in_the_way(browser) == []


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_no_column_of_a_table_is_out_of_sight(browser: Any, stage: Stage, address: str, width: int) -> None:
    show(browser, release_address(stage, address), width)
    hidden = (
        "return [...document.querySelectorAll('.scroll')].map((box) => box.scrollWidth - box.clientWidth)"
    )
    assert browser.execute_script(hidden) == [0, 0]


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_long_names_long_words_and_a_quick_ramp_fit(
    browser: Any, crowded: Stage, crowded_address: str, width: int
) -> None:
    for page in (f"{crowded_address}/releases", release_address(crowded, crowded_address)):
        show(browser, page, width)
        assert browser.execute_script("return document.documentElement.scrollWidth") == width, page
        assert labels_in_the_way(browser) == []
    hidden = (
        "return [...document.querySelectorAll('.scroll')].map((box) => box.scrollWidth - box.clientWidth)"
    )
    assert browser.execute_script(hidden) == [0, 0]


def test_the_keyboard_reaches_everything(browser: Any, stage: Stage, address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    show(browser, f"{address}/releases")
    reached = []
    for _ in range(5):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.switch_to.active_element.get_attribute("href"))
    assert reached[0].endswith("#content")
    assert any("/releases/v2-" in str(href) for href in reached)


def test_a_page_that_is_open_follows_the_release(browser: Any, stage: Stage, address: str) -> None:
    show(browser, release_address(stage, address))
    browser.execute_script("window.scrollTo(0, 600)")
    stage.manager.abort("seen enough")
    stage.manager.settle()
    wait_until(lambda: "Aborted" in browser.title or "aborted" in browser.title, what="the page to follow")
    assert browser.execute_script("return document.querySelector('.badge').textContent") == "Aborted"
    wait_until(
        lambda: (
            browser.execute_script("return document.querySelector('[data-status]').textContent") == "final"
        ),
        what="the last refresh",
    )
    assert browser.execute_script("return window.scrollY") > 0


def test_screenshots_can_be_looked_at(browser: Any, stage: Stage, address: str, tmp_path: Path) -> None:
    show(browser, release_address(stage, address))
    file = tmp_path / "release.png"
    assert browser.save_screenshot(str(file))
    assert file.stat().st_size > 20_000
