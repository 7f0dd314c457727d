"""What an arm answers is checked before any of it reaches a viewer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.recommend_query import RecommendQuery
from load_balancer.answers import RefusedRequestError, read_answer, static_answer
from load_balancer.connection import Response, UpstreamError

QUERY = RecommendQuery("u1", count=3)
GOOD = {
    "request_id": "r1",
    "user_id": "u1",
    "version": "v1",
    "degraded": False,
    "items": [{"video_id": f"m{i}", "score": 0.5, "sources": ["als"]} for i in range(3)],
}


def read(query: RecommendQuery = QUERY, status: int = 200, dumps=json.dumps, **changes: object):  # type: ignore[no-untyped-def]
    return read_answer(Response(status, dumps({**GOOD, **changes}).encode()), query, "r1", "canary", "v1")


def as_our_service_writes(answer: object) -> str:
    return json.dumps(answer, separators=(",", ":"))


WRITTEN = pytest.mark.parametrize("dumps", [json.dumps, as_our_service_writes], ids=["spaced", "as ours"])


@WRITTEN
@pytest.mark.parametrize("degraded", [False, True])
def test_the_viewer_gets_the_list_and_the_arm(dumps: object, degraded: bool) -> None:
    answer = read(dumps=dumps, degraded=degraded)
    assert json.loads(answer.body) == {**GOOD, "arm": "canary", "degraded": degraded}
    assert answer.degraded == degraded
    assert answer.video_ids == ("m0", "m1", "m2")


@WRITTEN
def test_members_we_do_not_know_do_not_reach_the_viewer(dumps: object) -> None:
    assert "arm" not in GOOD
    assert json.loads(read(dumps=dumps, arm="main", secret="x").body)["arm"] == "canary"
    assert b"secret" not in read(dumps=dumps, secret="x").body
    item = {"video_id": "m1", "score": 0.5, "sources": []}
    answer = read(dumps=dumps, items=[{**item, "secret": "x"}])
    assert json.loads(answer.body)["items"] == [item]


@pytest.mark.parametrize("after", ["[]", ",1", '],"items":[', '"}', "}", " x"])
def test_nothing_is_smuggled_in_behind_the_items(after: str) -> None:
    body = as_our_service_writes(GOOD)
    for broken in (f"{body[:-1]}{after}}}", f"{body}{after}"):
        with pytest.raises(UpstreamError):
            read_answer(Response(200, broken.encode()), QUERY, "r1", "canary", "v1")


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"video_id": "m1", "score": 1.0}] * 2,
        [{"video_id": f"m{i}", "score": 1.0} for i in range(4)],
        [{"video_id": "a,b", "score": 1.0}],
        [{"video_id": "", "score": 1.0}],
        [{"video_id": "m1\n", "score": 1.0}],
        [{"video_id": 7, "score": 1.0}],
        [{"video_id": "m1"}],
        [{"video_id": "m1", "score": "high"}],
        ["m1"],
        "m1",
        None,
    ],
)
@WRITTEN
def test_a_list_that_is_none_is_an_error(items: object, dumps: object) -> None:
    with pytest.raises(UpstreamError):
        read(items=items, dumps=dumps)


@pytest.mark.parametrize(
    "changes", [{"request_id": "r2"}, {"user_id": "u2"}, {"version": "v0"}, {"degraded": 1}]
)
@WRITTEN
def test_an_answer_to_something_else_is_an_error(changes: dict[str, object], dumps: object) -> None:
    with pytest.raises(UpstreamError):
        read(dumps=dumps, **changes)


@pytest.mark.parametrize("status", [204, 301, 404, 500, 503])
def test_another_status_is_an_error(status: int) -> None:
    with pytest.raises(UpstreamError):
        read(status=status)


def test_a_refused_request_is_told_apart_and_says_why() -> None:
    with pytest.raises(RefusedRequestError, match="unknown genre"):
        read_answer(Response(400, b'{"detail":"unknown genre"}'), QUERY, "r1", "main", "v1")


def test_a_genre_may_have_nothing_left() -> None:
    assert read(RecommendQuery("u1", count=3, genre="noir"), items=[]).video_ids == ()


def test_a_request_after_one_that_is_not_known_is_refused_and_pages_end() -> None:
    query = RecommendQuery("u1", count=3, after="r0")
    with pytest.raises(RefusedRequestError, match="not known") as refused:
        read_answer(Response(404, b'{"detail":"not known"}'), query, "r1", "main", "v1")
    assert refused.value.status == 404
    assert read(query, items=[]).video_ids == ()
    assert static_answer(("a",), query, "r1") is None


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        read_answer(Response(200, body), QUERY, "r1", "main", "v1")


def test_deep_nesting_is_an_error() -> None:
    with pytest.raises(UpstreamError):
        read_answer(Response(200, b"[" * 100_000), QUERY, "r1", "main", "v1")


def test_the_static_list_leaves_out_what_the_request_excludes() -> None:
    query = RecommendQuery("u1", count=2, exclude=("b",), context_video="a")
    answer = static_answer(("a", "b", "c", "d", "e"), query, "r1")
    assert answer is not None
    assert (answer.degraded, answer.video_ids) == (True, ("c", "d"))
    assert json.loads(answer.body)["arm"] == "static"


def test_no_static_list_no_static_answer() -> None:
    assert static_answer((), QUERY, "r1") is None
    assert static_answer(("a",), RecommendQuery("u1", exclude=("a",)), "r1") is None
    assert static_answer(("a",), RecommendQuery("u1", genre="noir"), "r1") is None
