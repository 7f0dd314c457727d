"""What belongs to no viewer is checked as strictly as a recommendation, and asked for again as it was checked."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.lookup_query import LookupQuery, lookup_of, parse_lookup

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@~-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200).filter(
    lambda text: bool(text.strip())
)
GENRES = st.none() | st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64)


@given(st.sampled_from(["search", "similar", "trending"]), TEXTS, IDS, GENRES, st.lists(IDS, max_size=5))
def test_a_target_says_what_was_asked(
    lookup: str, text: str, video_id: str, genre: str | None, exclude: list[str]
) -> None:
    query = LookupQuery(
        lookup,  # type: ignore[arg-type]
        7,
        genre,
        tuple(exclude),
        text.strip() if lookup == "search" else "",
        video_id if lookup == "similar" else "",
    )
    parts = urlsplit(query.target())
    assert parse_lookup(unquote(parts.path), parts.query) == query


@pytest.mark.parametrize(
    ("path", "lookup"),
    [("/search", "search"), ("/trending", "trending"), ("/videos/1/similar", "similar"), ("/videos/a/b/similar", "similar"),
     ("/search/", None), ("/videos/1", None), ("/recommend/u1", None), ("/", None)],
)  # fmt: skip
def test_the_address_of_a_lookup(path: str, lookup: str | None) -> None:
    assert lookup_of(path) == lookup


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("/search", "", "'q' is missing"),
        ("/search", "q=", "q ''"),
        ("/search", "q=%20", "printable"),
        ("/search", f"q={'x' * 201}", "1 to 200"),
        ("/search", "q=a%00b", "printable"),
        ("/search", "q=%ff", "cannot be read"),
        ("/search", "q=a&q=b", "twice"),
        ("/search", "q=a&explain=1", "unknown parameter 'explain'"),
        ("/trending", "q=a", "unknown parameter 'q'"),
        ("/trending", "count=101", "count '101'"),
        ("/trending", "genre=", "genre ''"),
        ("/trending", "&".join(["exclude=a"] * 101), "101 videos"),
        ("/videos/a/b/similar", "", "video_id 'a/b'"),
        ("/videos//similar", "", "video_id ''"),
        ("/videos", "", "no lookup"),
    ],
)
def test_what_is_wrong_is_named(path: str, query: str, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        parse_lookup(path, query)
