"""What tests of pages ask a browser."""

from __future__ import annotations

import json
from typing import Any

from tests.support import wait_until

WIDE, PHONE = 1100, 390


def show(browser: Any, address: str, width: int = WIDE, scheme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(address)


def wait_for(browser: Any, selector: str) -> Any:
    """The element, once a page that has it is there."""
    wait_until(lambda: browser.find_elements("css selector", selector), what=selector)
    return browser.find_element("css selector", selector)


def focused(browser: Any, selector: str) -> Any:
    """The element, once it has the focus: a browser grants `autofocus` some time after the page is there."""
    wait_until(
        lambda: browser.execute_script("return document.activeElement?.matches(arguments[0])", selector),
        what=f"the focus on {selector}",
    )
    return browser.switch_to.active_element


def contrast(browser: Any, selector: str) -> float:
    """WCAG contrast of an element's text against the nearest opaque background behind it."""
    return float(
        browser.execute_script(
            """
            const part = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            const parse = (text) => text.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
            let node = document.querySelector(arguments[0]);
            const ink = light(parse(getComputedStyle(node).color));
            let paper = [255, 255, 255];
            for (; node; node = node.parentElement) {
              const found = parse(getComputedStyle(node).backgroundColor);
              if (found.length === 3 || found[3] === 1) { paper = found; break; }
            }
            const [high, low] = [ink, light(paper)].sort((a, b) => b - a);
            return (high + 0.05) / (low + 0.05);
            """,
            selector,
        )
    )


def asked_for(browser: Any) -> list[str]:
    """Every address that the page fetched since `show`, itself included."""
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]


def drawn(browser: Any) -> list[str]:
    """Which of the drawings, wide or narrow, are to be seen."""
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('svg.plot')]"
        ".filter((plot) => plot.getBoundingClientRect().width > 0).map((plot) => plot.classList[1])"
    )
    return found


def labels_in_the_way(browser: Any) -> list[str]:
    """Labels of plots that leave their sheet or lie on each other."""
    found: list[str] = browser.execute_script(
        """
        const found = [];
        for (const plot of document.querySelectorAll('svg.plot')) {
          const sheet = plot.getBoundingClientRect();
          if (!sheet.width) continue;
          const labels = [...plot.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()]);
          labels.forEach(([text, box], number) => {
            if (box.left < sheet.left || box.right > sheet.right) found.push(text + ' leaves the sheet');
            for (const [other, next] of labels.slice(number + 1))
              if (box.left < next.right && next.left < box.right && box.top + 2 < next.bottom && next.top + 2 < box.bottom)
                found.push(text + ' on ' + other);
          });
        }
        return found;
        """
    )
    return found
