"""Secondary metrics: reported beside a verdict with intervals, never deciding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, ndtri

from deploy.evaluation.evidence import Floats
from deploy.evaluation.looks import Bools, Ints


@dataclass(frozen=True, slots=True)
class Difference:
    """Means per request, and canary minus main with a fixed-time interval (good at one look, the last)."""

    name: str
    main: float
    canary: float
    difference: float
    low: float
    high: float


def difference(
    name: str,
    viewer: Ints,
    stage: Ints,
    canary: Bools,
    requests: ArrayLike,
    value: ArrayLike,
    level: float = 0.95,
) -> Difference | None:
    """Compare a value per request between the arms, within stages, clustered by viewer.

    Rows as in `Matured`, `value` the row's sum (likes minus dislikes, minutes watched). Stages combine by
    n_c n_m / (n_c + n_m). None while no stage has requests in both arms.
    """
    n, x = np.asarray(requests, np.float64), np.asarray(value, np.float64)
    arm = np.asarray(canary).astype(np.int64)
    stages, place = np.unique(stage, return_inverse=True)
    total = _by_cell(place, arm, n, stages.size)
    mean = _by_cell(place, arm, x, stages.size) / np.maximum(total, 1)
    size = total[:, 0] * total[:, 1] / np.maximum(total.sum(1), 1)
    if not size.sum():
        return None
    weight = size / size.sum()
    scale = weight[place] / np.maximum(total[place, arm], 1) * np.where(arm == 1, 1, -1)
    influence = np.bincount(np.unique(viewer, return_inverse=True)[1], scale * (x - mean[place, arm] * n))
    delta = float((weight * (mean[:, 1] - mean[:, 0])).sum())
    radius = float(ndtri(0.5 + level / 2)) * math.sqrt(float((influence**2).sum()))
    main, both = (float((weight * mean[:, side]).sum()) for side in (0, 1))
    return Difference(name, main, both, delta, delta - radius, delta + radius)


def winsorised(values: ArrayLike, percentile: float = 99.0) -> Floats:
    """Values above the percentile of both arms together are set to it: one marathon decides nothing."""
    x = np.asarray(values, np.float64)
    return np.minimum(x, np.percentile(x, percentile)) if x.size else x


def coverage(shown: ArrayLike, sample: int, catalogue: int) -> float:
    """Share of the catalogue expected among `sample` of an arm's shown places.

    Rarefied, so that arms of different size compare: `shown` counts how often each video was shown, `sample`
    is at most their sum.
    """
    x = np.asarray(shown, np.float64)
    total = x.sum()
    absent = np.where(
        total - x >= sample,
        gammaln(total - x + 1)
        - gammaln(np.maximum(total - x - sample, 0) + 1)
        - gammaln(total + 1)
        + gammaln(total - sample + 1),
        -np.inf,
    )
    return float((1 - np.exp(absent)).sum() / catalogue)


def _by_cell(place: Ints, arm: Ints, weights: Floats, stages: int) -> Floats:
    return np.asarray(np.bincount(2 * place + arm, weights, 2 * stages), np.float64).reshape(stages, 2)
