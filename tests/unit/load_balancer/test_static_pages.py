"""A page after a static list is asked of an arm without it."""

from __future__ import annotations

from core.query_string import MAX_EXCLUDED
from core.recommend_query import RecommendQuery
from load_balancer.static_pages import StaticPages


def test_what_was_shown_is_excluded_instead() -> None:
    pages = StaticPages()
    pages.remember("r1", None, "u1", ("a", "b"))
    asked = RecommendQuery("u1", 3, ("x",), "noir", after="r1")
    assert pages.turned(asked) == RecommendQuery("u1", 3, ("x", "a", "b"), "noir")
    pages.remember("r2", "r1", "u1", ("c",))
    assert pages.turned(RecommendQuery("u1", after="r2")).exclude == ("a", "b", "c")


def test_other_lists_and_other_viewers_are_left_to_the_arm() -> None:
    pages = StaticPages()
    pages.remember("r1", None, "u1", ("a",))
    for asked in (RecommendQuery("u2", after="r1"), RecommendQuery("u1", after="r9"), RecommendQuery("u1")):
        assert pages.turned(asked) is asked


def test_more_than_can_be_excluded_is_left_to_the_arm() -> None:
    pages = StaticPages()
    pages.remember("r1", None, "u1", map(str, range(MAX_EXCLUDED)))
    assert len(pages.turned(RecommendQuery("u1", after="r1")).exclude) == MAX_EXCLUDED
    asked = RecommendQuery("u1", exclude=("x",), after="r1")
    assert pages.turned(asked) is asked


def test_the_oldest_are_forgotten() -> None:
    pages = StaticPages(capacity=2)
    for number in range(3):
        pages.remember(f"r{number}", None, "u1", ("a",))
    assert [pages.turned(RecommendQuery("u1", after=f"r{n}")).exclude for n in range(3)] == [
        (),
        ("a",),
        ("a",),
    ]
