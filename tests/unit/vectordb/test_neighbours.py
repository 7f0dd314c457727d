"""The neighbour table is exact, and the same on every run."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vectordb import neighbours
from vectordb.neighbours import neighbour_table


def unit(rows: int, width: int = 8, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 5))
def test_it_is_what_sorting_every_cosine_gives(rows: int, count: int, seed: int) -> None:
    vectors = unit(rows, seed=seed)
    found, cosines = neighbour_table(vectors, count)
    every = vectors @ vectors.T
    np.fill_diagonal(every, -2)
    width = min(count, rows - 1)
    best = np.sort(every, axis=1)[:, ::-1][:, :width]
    np.testing.assert_allclose(cosines[:, :width], best, atol=1e-5)
    assert (found[:, width:] == -1).all()
    assert (cosines[:, width:] == 0).all()
    assert not (found == np.arange(rows)[:, None]).any()


def test_blocks_do_not_show() -> None:
    vectors = unit(2 * neighbours._BLOCK + 3, 4)
    rows, _ = neighbour_table(vectors, 3)
    place = neighbours._BLOCK + 1
    every = vectors @ vectors[place]
    every[place] = -2
    assert set(rows[place]) == set(np.argsort(-every)[:3])


def test_equally_near_ones_come_in_order_of_rows() -> None:
    rows, _ = neighbour_table(np.ones((6, 1), np.float32), 5)
    assert rows[0].tolist() == [1, 2, 3, 4, 5]
    assert rows[3].tolist() == [0, 1, 2, 4, 5]


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 5))
def test_of_more_equals_than_there_is_room_for_the_lowest_rows_are_taken(
    kinds: int, count: int, seed: int
) -> None:
    vectors = np.eye(kinds, dtype=np.float32)[np.random.default_rng(seed).integers(0, kinds, 90)]
    every = vectors @ vectors.T
    np.fill_diagonal(every, -np.inf)
    rows, _ = neighbour_table(vectors, count)
    np.testing.assert_array_equal(rows, np.argsort(-every, axis=1, kind="stable")[:, :count])
