"""The short way around Flask takes what is plain and ends well; all else, and every failure, is Flask's."""

from collections.abc import Iterable
from typing import Any

import pytest

from core.errors import InvalidInputError
from inference.short_way import FAILED, Environ, ShortWay, StartResponse

PLAIN: Environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/recommend/u1", "QUERY_STRING": "count=3"}


def asked(environ: Environ, error: Exception | None = None) -> tuple[list[bytes], list[Any], list[object]]:
    """The body, what `make` was asked, and with which failure Flask was."""
    made: list[Any] = []
    failures: list[object] = []

    def flask(environ: Environ, _: StartResponse) -> Iterable[bytes]:
        failures.append(environ.get(FAILED))
        return [b"flask"]

    def make(*given: Any) -> tuple[bytes, str]:
        made.append(given)
        if error is not None:
            raise error
        return b"short", "text/plain"

    return list(ShortWay(flask, make)(environ, lambda *_: None)), made, failures


def test_a_plain_request_goes_the_short_way() -> None:
    headers = {"HTTP_X_UNDERSTUDY_REQUEST_ID": "r1", "HTTP_ACCEPT": "a/b"}
    assert asked({**PLAIN, **headers}) == ([b"short"], [("u1", "count=3", "r1", "a/b")], [])
    assert asked(PLAIN) == ([b"short"], [("u1", "count=3", None, "")], [])


@pytest.mark.parametrize(
    "given",
    [
        {"REQUEST_METHOD": "HEAD"},
        {"REQUEST_METHOD": "POST"},
        {"PATH_INFO": "/livez"},
        {"CONTENT_LENGTH": "5"},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"QUERY_STRING": "genre=\xe4"},
    ],
)
def test_anything_else_is_flasks(given: Environ) -> None:
    assert asked({**PLAIN, **given}) == ([b"flask"], [], [None])


@pytest.mark.parametrize("error", [InvalidInputError("no genre"), ZeroDivisionError()])
def test_a_failure_is_handed_over_and_not_tried_again(error: Exception) -> None:
    body, made, failures = asked(PLAIN, error)
    assert (body, len(made), failures) == ([b"flask"], 1, [error])
