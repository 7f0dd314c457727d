"""E-values: evidence that may be looked at after every look.

Each is at most 1 in expectation at every look under its null hypothesis, so that by Ville's inequality it
ever exceeds 1/alpha with probability at most alpha. All functions broadcast over leading axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, lambertw, log_ndtr, logsumexp

Floats = NDArray[np.float64]


def mixture_rho(information: float, alpha: float) -> float:
    """The mixture's precision that makes its boundary tightest at a planned information.

    Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, nonparametric, nonasymptotic confidence
    sequences, proposition 3; W_{-1} is the lower branch of Lambert's function.
    """
    return information / (-float(lambertw(-(alpha**2) / math.e, -1).real) - 1)


def log_normal_mixture(score: ArrayLike, information: ArrayLike, rho: float) -> Floats:
    """Log e-value against "theta <= 0" of the one-sided normal mixture.

    `score` is theta times information, `information` 1 / variance of theta, in the same shape.
    """
    s = np.asarray(score, np.float64)
    total = np.asarray(information, np.float64) + rho
    value: Floats = (
        math.log(2) + 0.5 * np.log(rho / total) + s * s / (2 * total) + log_ndtr(s / np.sqrt(total))
    )
    return value


def interval_radius(information: ArrayLike, rho: float, alpha: float) -> Floats:
    """Half the width of the confidence sequence of theta, two-sided normal mixture; `information` > 0."""
    v = np.asarray(information, np.float64)
    radius: Floats = np.sqrt((v + rho) * (np.log((v + rho) / rho) - 2 * math.log(alpha))) / v
    return radius


def ratio_grid(smallest: float, largest: float, points: int) -> Floats:
    """Rate ratios relative to the null, evenly spaced in their logarithm."""
    return np.exp(np.linspace(math.log(smallest), math.log(largest), points))


def log_ratio_step(exposures: ArrayLike, events: ArrayLike, ratio: Floats, null_ratio: Floats) -> Floats:
    """What one look adds to the log likelihood ratios of conditional-binomial processes.

    Given that an event happened, it is the canary's with probability n_c r / (n_c r + n_m).

    Args:
        exposures: shape (..., 2), the look's exposures still at risk in main and in the canary.
        events: shape (..., 2), first events among them.
        ratio: alternatives r, shape (..., points); `null_ratio` r0 with shape (..., 1).
    """
    n = np.asarray(exposures, np.float64)[..., None]
    x = np.asarray(events, np.float64)[..., None]
    main, canary = n[..., 0, :], n[..., 1, :]
    any_at_risk = main + canary > 0
    under_alternative = np.where(any_at_risk, canary * ratio + main, 1.0)
    under_null = np.where(any_at_risk, canary * null_ratio + main, 1.0)
    added: Floats = x[..., 1, :] * np.log(ratio / null_ratio) - (x[..., 0, :] + x[..., 1, :]) * np.log(
        under_alternative / under_null
    )
    return added


def log_mixture(log_ratios: Floats) -> Floats:
    """Log e-value of the even mixture over the last axis."""
    value: Floats = logsumexp(log_ratios, axis=-1) - math.log(log_ratios.shape[-1])
    return value


def expected_shares(shares: Sequence[float]) -> Floats:
    """Chance that a viewer last seen in main in stage j is in the canary at the first request in stage k.

    Shape (stages + 1, stages): row j (0: never seen), column k - 1. NaN where k <= j, which is not tested.
    """
    before = np.array([0.0, *shares])[:, None]
    now = np.array(shares)[None, :]
    expected: Floats = np.where(now > before, (now - before) / (1 - before), np.nan)
    later = np.arange(1, len(shares) + 1)[None, :] > np.arange(len(shares) + 1)[:, None]
    return np.where(later, expected, np.nan)


def log_sample_ratio(counts: ArrayLike, expected: Floats, concentration: float, loss: float) -> Floats:
    """Log e-value against the expected shares: a mixture of three e-values.

    Two parts in five each expect that one arm, canary or main, loses a part `loss` of its viewers in every cell:
    the alternatives that are to be found soonest. One part in five is a product over cells of Dirichlet (beta)
    mixtures, which finds whatever else it may be.

    Args:
        counts: shape (..., stages + 1, stages, 2), viewers in main and in the canary by cell.
        expected: as `expected_shares`; cells with NaN do not count.
    """
    m = np.asarray(counts, np.float64)[..., 0]
    c = np.asarray(counts, np.float64)[..., 1]
    tested = ~np.isnan(expected)
    p = np.where(tested, expected, 0.5)
    a, b = concentration * p, concentration * (1 - p)
    parts = (
        (0.4, _log_odds_ratio(m, c, p, math.log1p(-loss))),
        (0.4, _log_odds_ratio(m, c, p, -math.log1p(-loss))),
        (0.2, betaln(a + c, b + m) - betaln(a, b) - c * np.log(p) - m * np.log1p(-p)),
    )
    value: Floats = np.logaddexp.reduce(
        [math.log(part) + np.where(tested, by_cell, 0.0).sum(axis=(-2, -1)) for part, by_cell in parts]
    )
    return value


def _log_odds_ratio(main: Floats, canary: Floats, share: Floats, shift: float) -> Floats:
    """Log likelihood ratio of odds moved by `shift` (logarithmic) against those of the share."""
    added: Floats = canary * shift - (canary + main) * np.log1p(share * math.expm1(shift))
    return added
