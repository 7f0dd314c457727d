"""Plain text for those who rank it above JSON."""

import pytest

from core.accept import prefers_text


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain", True),
        ("text/*", True),
        ("TEXT/PLAIN; charset=utf-8", True),
        ("text/plain, application/json", False),
        ("text/plain, application/json;q=0.5", True),
        ("text/plain;q=0.4, application/json;q=0.5", False),
        ("text/plain;q=0", False),
        ("text/plain;q=x", False),
        ("text/html, */*;q=0.1", False),
        ("text/plain, */*;q=0.1", True),
        (";;,,text/", False),
    ],
)
def test_plain_text_for_those_who_prefer_it(accept: str, text: bool) -> None:
    assert prefers_text(accept.encode()) is text
