"""EASE (Steck 2019): a linear model of each video from all others, in closed form, its strongest weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array

from inference.recommender.arrays import F32, I32, SparseRows
from training.dataset import Dataset


@dataclass(frozen=True, slots=True)
class EaseSettings:
    """The inverse is of `videos` rows at most, those watched most; `width` weights a row rank as well as all."""

    videos: int = 3000
    regularization: float = 300.0
    width: int = 200


def train_ease(dataset: Dataset, settings: EaseSettings) -> SparseRows:
    """Row v: what having watched v says for (or against) each other video."""
    count = len(dataset.videos)
    counts = np.bincount(dataset.video, minlength=count)
    most = np.argsort(-counts, kind="stable")[: settings.videos]
    rows = np.sort(most[counts[most] > 1]).astype(np.int32)
    if len(rows) < 2:
        return SparseRows(np.zeros(count + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return _strongest(_weights(dataset, rows, settings.regularization), rows, count, settings.width)


def _weights(dataset: Dataset, rows: I32, regularization: float) -> F32:
    ones = np.ones(len(dataset), np.float32)
    shape = (len(dataset.viewers), len(dataset.videos))
    watched = csr_array((ones, (dataset.viewer, dataset.video)), shape=shape)[:, rows]
    gram = np.asarray((watched.T @ watched).todense(), np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    # A Cholesky inverse is a third of the work of a general one. Its lower triangle is all that is filled.
    factor, _ = lapack.dpotrf(gram, lower=1)
    half, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(half) + np.tril(half, -1).T
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights, np.float32)


def _strongest(weights: F32, rows: I32, count: int, width: int) -> SparseRows:
    """A square of weights between `rows` as rows over the catalogue, the `width` largest of each."""
    width = min(width, len(rows))
    places: NDArray[np.intp] = np.argpartition(-np.abs(weights), width - 1, axis=1)[:, :width]
    lengths = np.zeros(count, np.int64)
    lengths[rows] = width
    return SparseRows(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        rows[places].ravel(),
        np.take_along_axis(weights, places, axis=1).ravel(),
    )
