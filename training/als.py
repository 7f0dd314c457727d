"""Implicit-feedback matrix factorisation by the library implicit (Hu, Koren, Volinsky 2008)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from core.clock import DAY
from core.errors import InvalidInputError
from training.dataset import F32, Dataset


@dataclass(frozen=True, slots=True)
class AlsSettings:
    """`alpha` is the confidence in what was watched; `threads` 0 means every core.

    What exceeds 1 of the confidence halves with every `half_life_days` of an interaction's age.
    """

    factors: int = 64
    regularization: float = 10.0
    alpha: float = 1.0
    iterations: int = 15
    seed: int = 7
    threads: int = 0
    half_life_days: float | None = None


def train_als(dataset: Dataset, settings: AlsSettings, as_of_ms: int = 0) -> tuple[F32, F32]:
    """Factors of viewers (U, F) and videos (V, F), float32, by their rows; zero rows for those never seen.

    `as_of_ms` is the time from which an interaction's age counts, where the settings ask for it.

    Raises:
        InvalidInputError: the factors are not finite (implicit would serve them silently).
    """
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415 imports its BLAS when loaded
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    matrix = confidences(dataset, settings, as_of_ms)
    # implicit has threads of its own; a BLAS pool in each of them makes it several times slower.
    with threadpool_limits(limits=1, user_api="blas"):
        viewers, videos = _alternate(AlternatingLeastSquares().solver, matrix, settings)
    if not (np.isfinite(viewers).all() and np.isfinite(videos).all()):
        raise InvalidInputError(f"ALS did not converge to finite factors with {settings}")
    return viewers, videos


def confidences(dataset: Dataset, settings: AlsSettings, as_of_ms: int) -> csr_matrix:
    """Viewers × videos, the confidence in what was watched."""
    values = np.full(len(dataset), settings.alpha, np.float32)
    if settings.half_life_days is not None:
        days = np.maximum(0, as_of_ms - dataset.at_ms) / DAY
        values = np.asarray(1 + (settings.alpha - 1) * np.exp2(-days / settings.half_life_days), np.float32)
    shape = (len(dataset.viewers), len(dataset.videos))
    return csr_matrix(csr_array((values, (dataset.viewer, dataset.video)), shape=shape))


def _alternate(solve: Callable[..., None], by_viewer: csr_matrix, settings: AlsSettings) -> tuple[F32, F32]:
    """The loop of implicit's `fit`, which would hold every confidence three times and the viewers' factors twice."""
    by_video = by_viewer.T.tocsr()
    for matrix in (by_viewer, by_video):
        matrix.data = _once(matrix.data)
    generator = np.random.default_rng(settings.seed)
    viewers = _small(generator, by_viewer.shape[0], settings.factors)
    videos = _small(generator, by_video.shape[0], settings.factors)
    for _ in range(settings.iterations):
        solve(by_viewer, viewers, videos, settings.regularization, settings.threads)
        solve(by_video, videos, viewers, settings.regularization, settings.threads)
    return viewers, videos


def _once(values: F32) -> F32:
    """The same values; where all are equal, one in memory stands for them."""
    equal = len(values) > 0 and values.min() == values.max()
    return np.broadcast_to(values[:1].copy(), values.shape) if equal else values


def _small(generator: np.random.Generator, rows: int, factors: int) -> F32:
    found = generator.random((rows, factors), np.float32)
    found *= 0.01
    return found
