"""A plain request as WSGI, and what the application says to it as one packet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, request

from core.plain_request import read_plain
from inference.worker import answer, environ


def plain(*lines: str) -> dict[str, Any]:
    head = "GET /recommend/u1?count=5 HTTP/1.1\r\nHost: a\r\n" + "".join(f"{line}\r\n" for line in lines)
    found = read_plain(f"{head}\r\n".encode())
    assert found is not None
    return found


def test_the_application_sees_the_target_and_the_two_headers_that_it_reads() -> None:
    made = environ(plain("X-Understudy-Request-Id: r1", "accept: text/plain", "Accept: a/b", "Cookie: c"))
    assert (made["PATH_INFO"], made["QUERY_STRING"], made["REQUEST_METHOD"]) == (
        "/recommend/u1",
        "count=5",
        "GET",
    )
    assert {name: value for name, value in made.items() if name.startswith("HTTP_")} == {
        "HTTP_X_UNDERSTUDY_REQUEST_ID": "r1",
        "HTTP_ACCEPT": "text/plain,a/b",
    }


def test_a_header_with_an_underscore_is_none_of_the_two() -> None:
    assert "HTTP_X_UNDERSTUDY_REQUEST_ID" not in environ(plain("X_Understudy_Request_Id: r1"))


@pytest.mark.parametrize(("keep", "said"), [(True, b"keep-alive"), (False, b"close")])
def test_head_and_body_are_one_piece(keep: bool, said: bytes) -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"a", b"b")

        def close(self) -> None:
            closed.append(True)

    def application(_: object, start_response: Any) -> Body:
        start_response("200 OK", [("Content-Length", "2")])
        return Body()

    head, _, body = answer(application, plain(), keep=keep).partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert (first, body, closed) == (b"HTTP/1.1 200 OK", b"ab", [True])
    assert {b"Connection: " + said, b"Content-Length: 2"} <= set(fields)
    assert any(field.startswith(b"Date: ") for field in fields)


def test_flask_can_answer_it_and_what_goes_wrong_in_it() -> None:
    app = Flask("test")

    @app.get("/recommend/<user>")
    def view(user: str) -> Response:
        if request.args["count"] == "5":
            raise RuntimeError(user)
        return Response(user)

    assert answer(app, plain(), keep=True).startswith(b"HTTP/1.1 500 INTERNAL SERVER ERROR\r\n")
    assert answer(app, {**plain(), "query_string": b"count=6"}, keep=True).endswith(b"\r\n\r\nu1")
