"""How two lists agree: overlap and order, whatever the lists."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_balancer.comparison import Agreement, compare

lists = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@pytest.mark.parametrize(
    ("shown", "other", "overlap", "order"),
    [
        ("abcd", "abcd", 1.0, 1.0),
        ("abcd", "dcba", 1.0, 0.0),
        ("abcd", "abdc", 1.0, 5 / 6),
        ("abcd", "abxy", 0.5, 1.0),
        ("abcd", "xbya", 0.5, 0.0),
        ("abcd", "axyz", 0.25, None),
        ("abcd", "wxyz", 0.0, None),
        ("abcd", "", 0.0, None),
        ("", "ab", 0.0, None),
        ("", "", 1.0, None),
    ],
)
def test_agreement(shown: str, other: str, overlap: float, order: float | None) -> None:
    assert compare(list(shown), list(other)) == Agreement(overlap, order)


@given(lists, lists)
def test_it_is_what_counting_the_pairs_says(shown: list[str], other: list[str]) -> None:
    common = [video for video in shown if video in other]
    pairs = list(itertools.combinations(common, 2))
    same = [other.index(first) < other.index(second) for first, second in pairs]
    found = compare(shown, other)
    assert found.order == (pytest.approx(sum(same) / len(pairs)) if pairs else None)
    assert 0 <= found.overlap <= 1
