"""The log ratio of watch-through, canary against main: per stage, clustered by viewer, CUPED.

A viewer's influence is linear in what is counted of that viewer: requests n, successes y and n times x (the
covariate) by stage and arm. So the variance, the sum over viewers of squared influences, is a quadratic form
in the sums over viewers of products of those counts: `moments`. They are whole numbers, exact, and a look
changes them only by the viewers it brings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deploy.evaluation.evidence import Floats
from deploy.evaluation.looks import Bools

SIGNS = np.array([-1.0, 1.0])  # main, canary


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """`theta` is log(canary / main) with CUPED, `plain` without; leading axes as in the sums.

    `information` is 1 / variance, 0 where there is no estimate yet (theta is then 0). `stage_theta` and
    `weight` have one entry per stage; `used` marks the stages that count.
    """

    theta: Floats
    plain: Floats
    information: Floats
    beta: Floats
    stage_theta: Floats
    weight: Floats
    used: Bools


def estimate(sums: Floats, moments: Floats, min_successes: int, min_viewers: float = 0.0) -> Estimate:
    """The estimate from sums over viewers.

    Args:
        sums: shape (..., 3, stages, 2): requests, successes, requests times covariate; main then canary.
        moments: shape (..., 6 stages, 6 stages): sums over viewers of products of those counts, flattened
            in the same order.
        min_successes: a stage with fewer in either arm waits.
        min_viewers: so does one with fewer effective viewers, (sum n)^2 / sum n^2, or successful ones, the same
            of y: where a few viewers make most of either, the estimate is theirs, and its variance is not to
            be trusted.
    """
    n, y = sums[..., 0, :, :], sums[..., 1, :, :]
    counted = np.stack([n, y], axis=-3)
    squares = np.diagonal(moments, axis1=-2, axis2=-1)[..., : 2 * n.shape[-2] * n.shape[-1]]
    effective = (counted * counted / np.maximum(squares.reshape(counted.shape), 1.0)).min(-3)
    used: Bools = np.all((y >= min_successes) & (effective >= min_viewers), axis=-1)
    rate = _ratio(y, n)
    weight = _weights(n, y, rate, used)
    log_rate = np.log(np.where(used[..., None], rate, 1.0))
    stage_theta = log_rate[..., 1] - log_rate[..., 0]
    influence = _influence_of_rates(y, rate, weight, used)
    plain = (weight * stage_theta).sum(-1)
    variance = _form(influence, moments, influence)
    gap, covariate = _influence_of_covariate(sums, weight, used)
    beta = _beta(influence, covariate, moments)
    theta = plain - beta * gap
    variance = variance - beta * _form(influence, moments, covariate)
    known = used.any(-1) & (variance > 0)
    return Estimate(
        theta=np.where(known, theta, 0.0),
        plain=np.where(known, plain, 0.0),
        information=np.where(known, 1 / np.where(known, variance, 1.0), 0.0),
        beta=beta,
        stage_theta=stage_theta,
        weight=weight,
        used=used,
    )


def _ratio(top: Floats, bottom: Floats) -> Floats:
    value: Floats = top / np.where(bottom > 0, bottom, 1.0)
    return value


def _weights(n: Floats, y: Floats, rate: Floats, used: Bools) -> Floats:
    """Proportional to 1 / ((1 - r_c) / S_c + (1 - r_m) / S_m); an arm without failures counts as with one."""
    failing = np.maximum(1 - rate, _ratio(np.ones_like(n), n))
    spread = (failing / np.where(y > 0, y, 1.0)).sum(-1)
    precision = np.where(used, 1 / spread, 0.0)
    return _ratio(precision, precision.sum(-1, keepdims=True))


def _influence_of_rates(y: Floats, rate: Floats, weight: Floats, used: Bools) -> Floats:
    """Coefficients of (n, y, nx) in w_s psi_us, summed over stages."""
    of_y = np.where(used[..., None], weight[..., None] * SIGNS / np.where(y > 0, y, 1.0), 0.0)
    return _flat(-rate * of_y, of_y, np.zeros_like(of_y))


def _influence_of_covariate(sums: Floats, weight: Floats, used: Bools) -> tuple[Floats, Floats]:
    """sum of w_s D_s, and the coefficients of (n, y, nx) in its influence."""
    n = sums[..., 0, :, :]
    mean = _ratio(sums[..., 2, :, :], n)
    of_x = np.where(used[..., None], weight[..., None] * SIGNS / np.where(n > 0, n, 1.0), 0.0)
    gap = (weight * np.where(used, mean[..., 1] - mean[..., 0], 0.0)).sum(-1)
    return gap, _flat(-mean * of_x, np.zeros_like(of_x), of_x)


def _beta(influence: Floats, covariate: Floats, moments: Floats) -> Floats:
    """sum psi phi / sum phi^2; 0 where the covariate does not vary (beyond rounding)."""
    spread = _form(covariate, moments, covariate)
    diagonal = np.diagonal(moments, axis1=-2, axis2=-1)
    varies = spread > 1e-9 * (covariate * covariate * diagonal).sum(-1)
    return np.where(varies, _form(influence, moments, covariate) / np.where(varies, spread, 1.0), 0.0)


def _flat(of_n: Floats, of_y: Floats, of_x: Floats) -> Floats:
    stacked = np.stack([of_n, of_y, of_x], axis=-3)
    return stacked.reshape(*stacked.shape[:-3], -1)


def _form(left: Floats, moments: Floats, right: Floats) -> Floats:
    value: Floats = (left * (moments @ right[..., None])[..., 0]).sum(-1)
    return value
