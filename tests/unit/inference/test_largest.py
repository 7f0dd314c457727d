"""The largest of many numbers, found without sorting them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.recommender.largest import largest


@given(
    st.integers(1, 60),
    st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]), max_size=100),
    st.integers(1, 50),
    st.sampled_from([np.float32, np.float64]),
)
def test_it_finds_what_sorting_finds(
    count: int, some: list[float], times: int, dtype: type[np.floating]
) -> None:
    numbers = some * times
    values = np.array(numbers, dtype)
    found = largest(values, count)
    assert len(set(found.tolist())) == len(found) == min(count, int((values > 0).sum()))
    assert sorted(values[found], reverse=True) == sorted(numbers, reverse=True)[: len(found)]


def test_among_many_distinct_numbers_it_finds_the_same_places() -> None:
    values = np.random.default_rng(0).normal(size=27_000).astype(np.float32)
    assert set(largest(values, 50).tolist()) == set(np.argsort(-values)[:50].tolist())
