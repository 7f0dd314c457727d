"""Rules that other tools decide by, on the same simulated releases: why this one is not simpler.

Each takes the series of `simulation.Releases`, newly matured counts of shape (looks, releases, 2, 2): requests
and successes, by main and canary. Each returns one truth per release.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from deploy.evaluation.evidence import Floats
from deploy.evaluation.looks import Bools


def at_least_as_good(series: Floats, look: int) -> Bools:
    """Promotes: the canary's rate is at least main's after a fixed time."""
    rate = _rates(series[:look].sum(0))
    return np.asarray(rate[:, 1] >= rate[:, 0])


def worse_by_z_test(series: Floats, look: int, level: float = 0.05) -> Bools:
    """Rolls back: a one-sided z test that takes requests for independent, once."""
    return np.asarray(_p_worse(series[:look].sum(0)) < level)


def worse_by_peeking(series: Floats, look: int, level: float = 0.05) -> Bools:
    """Rolls back: the same test at every look."""
    return np.asarray((_p_worse(np.cumsum(series[:look], axis=0)) < level).any(0))


def different_when_pooled(series: Floats, level: float = 0.05) -> Bools:
    """Sees a difference: a two-sided z test at the end of a ramp, stages pooled."""
    p = _p_worse(series.sum(0))
    return np.asarray(np.minimum(p, 1 - p) < level / 2)


def below_threshold(series: Floats, threshold: float, looks: int = 12) -> Bools:
    """Rolls back: the canary's rate over the last hour is below an absolute threshold at any look."""
    total = np.cumsum(series[..., 1], axis=0)
    hour = total[looks:] - total[:-looks]
    rate = hour[
        ...,
        1,
    ] / np.maximum(hour[..., 0], 1)
    return np.asarray(((rate < threshold) & (hour[..., 0] > 0)).any(0))


def not_worse_by_mann_whitney(series: Floats, look: int, level: float = 0.05) -> Bools:
    """Promotes: the rates of five-minute points do not differ significantly to the canary's disadvantage."""
    n, y = series[:look, :, 0], series[:look, :, 1]
    found = []
    for lane in range(series.shape[1]):
        seen = np.flatnonzero(np.minimum(n[:, lane, 0], n[:, lane, 1]) > 0)
        rate: Floats = y[seen, lane] / n[seen, lane]
        found.append(lower_by_ranks(rate[:, 1], rate[:, 0]) >= level)
    return np.array(found, np.bool_)


def lower_by_ranks(x: Floats, y: Floats) -> float:
    """One-sided p value of "x is lower than y": Mann and Whitney's U, as scipy.stats approximates it.

    The normal approximation with corrections for ties and continuity; half a second sooner than scipy.stats.
    """
    ordered, pairs, size = np.sort(y), x.size * y.size, x.size + y.size
    above = (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right")).sum() / 2
    ties = np.unique(np.concatenate([x, y]), return_counts=True)[1]
    variance = pairs / 12 * (size + 1 - (ties**3 - ties).sum() / (size * (size - 1)))
    with np.errstate(divide="ignore"):  # all alike: no sign of "lower", a p value of 1
        return float(ndtr((above - pairs / 2 + 0.5) / np.sqrt(variance)))


def _rates(total: Floats) -> Floats:
    rates: Floats = total[..., 1, :] / np.maximum(total[..., 0, :], 1)
    return rates


def _p_worse(total: Floats) -> Floats:
    """One-sided p value of "the canary is worse", from pooled binomial counts."""
    n, rate = np.maximum(total[..., 0, :], 1), _rates(total)
    pooled = total[..., 1, :].sum(-1) / n.sum(-1)
    se = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n).sum(-1))
    return np.asarray(ndtr((rate[..., 1] - rate[..., 0]) / se))
