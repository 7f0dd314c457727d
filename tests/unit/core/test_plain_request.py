"""The short way for plain requests: whatever it takes, gunicorn's parser takes too, and reads the same."""

import pytest
from gunicorn.asgi.parser import CallbackRequest, PythonProtocol
from hypothesis import example, given
from hypothesis import strategies as st

from core.plain_request import MOST_BYTES, read_plain

PLAIN = b"GET /recommend/u1?count=5 HTTP/1.1\r\nHost: a\r\nAccept:  text/plain \r\n\r\n"


def test_a_plain_request_is_read() -> None:
    assert read_plain(PLAIN) == {
        "method": "GET",
        "path": "/recommend/u1",
        "raw_path": b"/recommend/u1",
        "query_string": b"count=5",
        "headers": ((b"host", b"a"), (b"accept", b"text/plain")),
    }


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"G",
        PLAIN[:-1],
        PLAIN[:-2],
        PLAIN.replace(b"GET", b"HEAD"),
        PLAIN.replace(b"GET", b"get"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"/recommend", b"/search"),
        PLAIN.replace(b"u1", b"u%31"),
        PLAIN.replace(b"u1", b"u/1"),
        PLAIN.replace(b"u1", b"u" * 65),
        PLAIN.replace(b"u1?", b"u1 ?"),
        PLAIN.replace(b"Host: a\r\n", b""),
        PLAIN.replace(b"Host", b"Host: b\r\nhost"),
        PLAIN.replace(b"Host:", b"Host :"),
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"\r\nAccept", b"\r\n Accept"),
        PLAIN.replace(b"text", "tëxt".encode()),
        PLAIN.replace(b"text", b"te\0xt"),
        *(
            PLAIN.replace(b"Accept", name)
            for name in (b"Content-Length", b"Transfer-Encoding", b"connection", b"Expect", b"UPGRADE", b"TE")
        ),
        PLAIN.replace(b"text", b"t" * MOST_BYTES),
        b"",
    ],
)
def test_anything_else_is_left_to_gunicorn(data: bytes) -> None:
    assert read_plain(data) is None


PIECES = st.sampled_from(
    [b"GET ", b"/recommend/", b"u1", b"?count=5", b" HTTP/1.1", b"\r\n", b"Host: a", b"Accept:", b" text/plain", b":",
     b"X_A: \t b ", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"#", b"\n", b"\r", b"%41", b" ", b"\t", b"\0"]
)  # fmt: skip
LINES = st.lists(
    st.sampled_from([b"Accept: */*", b"User-Agent:", b"X-A: a:b", b"a_b:\tc ", b"Connection: close", b"Content-Length: 0",
                     b"Host: b", b"x :y", b"no colon", b" folded: z", b"E: \xc3\xa4"]), max_size=6,
)  # fmt: skip
HEADS = st.builds(
    lambda target, lines: b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: a", *lines, b"", b""]),
    st.sampled_from(
        [b"/recommend/u1", b"/recommend/u1?a=b#c?d", b"/recommend/u1?%zz", b"/recommend/a:b@c~d-_."]
    ),
    LINES,
)


@given(HEADS | st.lists(PIECES, max_size=14).map(b"".join))
@example(PLAIN)
def test_what_it_takes_gunicorn_reads_alike(data: bytes) -> None:
    scope = read_plain(data)
    if scope is None:
        return
    parser = PythonProtocol(limit_request_line=4094, limit_request_fields=100, limit_request_field_size=8190)
    parser.feed(data)
    request = CallbackRequest.from_parser(parser)
    assert parser.is_complete
    assert parser.remaining() == b""
    assert not request.should_close()
    assert (request.content_length, request.chunked, request.may_upgrade()) == (0, False, False)
    assert request.query is not None
    assert scope == {
        "method": request.method,
        "path": request.path,
        "raw_path": request.raw_path,
        "query_string": request.query.encode(),
        "headers": tuple(request.headers_bytes),
    }
