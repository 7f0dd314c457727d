"""Products find the same best as looking at every video does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.recommender.arrays import Factors
from inference.recommender.scores import Dense, Products


@given(
    st.integers(0, 99),
    st.integers(1, 1500),
    st.sampled_from([0.0, 1.0, 4.0]),
    st.integers(1, 70),
    st.sampled_from([0.01, 0.5, 1.0]),
)
def test_the_best_products_are_those_of_all_videos(
    seed: int, videos: int, skew: float, quota: int, shown: float
) -> None:
    random = np.random.default_rng(seed)
    # As in life: few factors are long. Without skew all are about as long, and each has to be looked at.
    lengths = (random.random((videos, 1)) ** skew).astype(np.float32)
    factors = Factors.of(random.normal(size=(videos, 8)).astype(np.float32) * lengths, None)
    viewer = random.normal(size=8).astype(np.float32)
    allowed = random.random(videos) < shown
    products, every = Products(factors, viewer), Dense(factors.videos @ viewer)
    rows, wanted = products.best(allowed, quota), every.best(allowed, quota)
    assert allowed[rows].all()
    assert len(set(rows.tolist())) == len(rows)
    assert np.sort(products.of(rows)) == pytest.approx(np.sort(every.of(wanted)), rel=1e-4)


def test_a_viewer_without_taste_has_no_best() -> None:
    factors = Factors.of(np.ones((5, 2), np.float32), None)
    assert Products(factors, np.zeros(2, np.float32)).best(np.ones(5, np.bool_), 3).tolist() == []
