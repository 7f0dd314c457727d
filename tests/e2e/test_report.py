"""The report of a bundle in a real browser, from its file: light and dark, wide and on a phone, by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import PHONE, WIDE, asked_for, contrast, drawn, labels_in_the_way, show
from tests.report_support import offline_report, publish_evaluation
from understudy.reports import report_page

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    more = {
        "sources": {"als": 0.4, "trending": 0.5, "union": 0.8},
        "importance": {"rank among what alike viewers watched lately": 30.0, "age": 10.0},
    }
    ours = publish_evaluation(
        folder, offline_report("v2", 0.05), "recipe ranked; no genres: content uses titles alone", **more
    )
    main = publish_evaluation(folder, offline_report("v1", 0.01))
    page = folder / "report.html"
    page.write_text(report_page(ours, main), "utf-8")
    return page.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_it_fits_fetches_nothing_and_can_be_read(browser: Any, address: str, width: int, scheme: str) -> None:
    show(browser, address, width, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert browser.get_log("browser") == []
    assert [url for url in asked_for(browser) if not url.startswith("data:")] == [address]
    for selector in ("h1", ".lead", ".badge", ".verdict li", "figcaption", ".facts dt", ".beneath", ".note",
                     ".warnings li", "thead th", "tbody.cut .at", "summary", "footer"):  # fmt: skip
        assert contrast(browser, selector) >= 4.5, selector


@pytest.mark.parametrize(("width", "name"), [(WIDE, "wide"), (PHONE, "narrow")])
def test_each_width_has_its_own_drawing_with_labels_apart(
    browser: Any, address: str, width: int, name: str
) -> None:
    show(browser, address, width)
    assert drawn(browser) == [name] * 2
    assert labels_in_the_way(browser) == []


def test_the_keyboard_reaches_tables_and_details(browser: Any, address: str, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    show(browser, address)
    reached = []
    for _ in range(8):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.switch_to.active_element.tag_name)
    assert reached[0] == "a"
    assert "summary" in reached
    assert browser.save_screenshot(str(tmp_path / "report.png"))
