"""The exact neighbour table: for every video its nearest others, computed once, looked up per request."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vectordb.encoder import Vectors

_BLOCK = 1024


def neighbour_table(vectors: Vectors, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `count` nearest other rows of each row by cosine, nearest first.

    Args:
        vectors: float32 (V, d), rows of length 1.
        count: how many; with fewer other rows the rest is padded.

    Returns:
        Rows int32 (V, count), padded with -1, and their cosines float32 (V, count), padded with 0. Of
        equally near ones the lower row comes first, so the table is the same on every machine and run.
    """
    videos = len(vectors)
    width = max(0, min(count, videos - 1))
    rows = np.full((videos, count), -1, np.int32)
    cosines = np.zeros((videos, count), np.float32)
    for start in range(0, videos, _BLOCK) if width else ():
        block = slice(start, min(start + _BLOCK, videos))
        found = vectors[block] @ vectors.T
        found[np.arange(len(found)), np.arange(block.start, block.stop)] = -np.inf
        nearest = np.sort(np.argpartition(-found, width - 1, axis=1)[:, :width], axis=1)
        _lowest_of_the_last(nearest, found)
        near = np.take_along_axis(found, nearest, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        rows[block, :width] = np.take_along_axis(nearest, order, axis=1)
        cosines[block, :width] = np.take_along_axis(near, order, axis=1)
    return rows, cosines


def _lowest_of_the_last(nearest: NDArray[np.intp], found: NDArray[np.float32]) -> None:
    """Where more rows are as near as the last one taken, take the lowest: a partition takes any of them."""
    width = nearest.shape[1]
    last = np.take_along_axis(found, nearest, axis=1).min(axis=1)
    for row in np.flatnonzero((found >= last[:, None]).sum(axis=1) > width):
        nearer = np.flatnonzero(found[row] > last[row])
        level = np.flatnonzero(found[row] == last[row])
        nearest[row] = np.sort(np.concatenate([nearer, level[: width - len(nearer)]]))
