"""The parameters of GET /recommend, and that what we send on means what we were asked."""

import contextlib
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.problems import problem
from core.recommend_query import MAX_EXCLUDED, RecommendQuery, parse_recommend_query

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@~-]{0,63}", fullmatch=True)
genres = st.text(st.characters(exclude_categories=["C"], exclude_characters="\x7f"), min_size=1, max_size=64)
queries = st.builds(
    RecommendQuery,
    ids,
    st.integers(1, 100),
    st.lists(ids, max_size=5).map(tuple),
    st.none() | genres,
    st.none() | ids,
    st.booleans(),
    st.booleans(),
    st.none() | ids,
)


@given(queries)
def test_a_target_reads_back_the_same_and_never_leaves_the_host(query: RecommendQuery) -> None:
    parts = urlsplit(query.target())
    assert (parts.scheme, parts.netloc, parts.fragment) == ("", "", "")
    assert query.target().isascii()
    assert parse_recommend_query(parts.path.removeprefix("/recommend/"), parts.query) == query


def test_defaults() -> None:
    assert parse_recommend_query("u1", "") == RecommendQuery("u1", 20, (), None, None, explain=False)


@pytest.mark.parametrize(
    "user_id", ["", "x" * 65, "٣", "u1\n", "a/b", "..", "a b", "a\0", "%41", "@host", "-a", "u%zz"]
)
def test_a_user_id_that_is_none(user_id: str) -> None:
    with pytest.raises(InvalidInputError, match="user_id"):
        parse_recommend_query(user_id, "")


@pytest.mark.parametrize(
    "query",
    ["count=0", "count=-1", "count=+1", "count=1e3", "count=1e9", "count=NaN", "count=101", "count=1000", "count=",
     "count= 1", "count=%D9%A3", "count=1&count=2", "count", "count=1&", "&", "a=1", "Count=1", "exclude=", "exclude=a%2Cb",
     "genre=", "genre=%00", "genre=a%0d%0a", "genre=" + "x" * 65, "genre=a&genre=b", "genre=%ff", "context_video=",
     "context_video=..%2f", "explain=true", "explain=", "explain=1&explain=1", "fresh=yes", "after=", "after=a/b", "after=a&after=b", "count=1;count=2"],
)  # fmt: skip
def test_a_query_that_is_none(query: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_recommend_query("u1", query)


def test_exclusions_repeat_up_to_a_limit() -> None:
    assert parse_recommend_query("u1", "exclude=a&exclude=b").exclude == ("a", "b")
    assert len(parse_recommend_query("u1", "&".join(["exclude=a"] * MAX_EXCLUDED)).exclude) == MAX_EXCLUDED
    with pytest.raises(InvalidInputError):
        parse_recommend_query("u1", "&".join(["exclude=a"] * (MAX_EXCLUDED + 1)))


@given(st.text(), st.text())
def test_no_text_crashes_it(user_id: str, query: str) -> None:
    with contextlib.suppress(InvalidInputError):
        parse_recommend_query(user_id, query)


def test_a_problem_says_what_rfc_9457_wants() -> None:
    assert problem(404, "no such page", request_id="r") == (
        b'{"title":"Not Found","status":404,"detail":"no such page","request_id":"r"}'
    )
