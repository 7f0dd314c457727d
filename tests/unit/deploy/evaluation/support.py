"""What the tests of the evaluation share: looks written as tuples, and the estimator written naively."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.clock import MINUTE
from deploy.evaluation import Before, Look, Matured, RampStage, ReleasePlan, Served

# viewer, stage, canary, requests, successes
Row = tuple[int, int, bool, int, int]

PLAN = ReleasePlan(ramp=(RampStage(0.1, 1_000), RampStage(0.5)))


def binomial(hits: int, of: int, chance: float) -> float:
    """The probability of `hits` successes."""
    return math.comb(of, hits) * chance**hits * (1 - chance) ** (of - hits)


def matured(rows: Sequence[Row]) -> Matured:
    columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
    viewer, stage, canary, requests, successes = columns
    return Matured(
        np.array(viewer, np.int64),
        np.array(stage, np.int64),
        np.array(canary, np.bool_),
        np.array(requests, np.int64),
        np.array(successes, np.int64),
    )


def served(rows: Sequence[Row], guardrail: str = "error") -> Served:
    """The last column counts the guardrail's events."""
    table = matured(rows)
    return Served(table.viewer, table.stage, table.canary, table.requests, {guardrail: table.successes})


def before(rows: Sequence[tuple[int, int, int]]) -> Before:
    viewer, requests, successes = list(zip(*rows, strict=True)) or [(), (), ()]
    return Before(np.array(viewer, np.int64), np.array(requests, np.int64), np.array(successes, np.int64))


def look(
    number: int, rows: Sequence[Row] = (), shown: Sequence[Row] = (), guardrail: str = "error", **more: object
) -> Look:
    """The look at `number` times five minutes."""
    made = Look(5 * MINUTE * number, matured(rows), served(shown, guardrail))
    return replace(made, **more)  # type: ignore[arg-type]


def naive_estimate(
    rows: Sequence[Row], covariate: dict[int, float], min_successes: int
) -> tuple[float, float, float]:
    """theta, variance and beta, viewer by viewer as the design writes them."""
    n: dict[tuple[int, bool, int], float] = defaultdict(float)
    y: dict[tuple[int, bool, int], float] = defaultdict(float)
    for viewer, stage, canary, requests, successes in rows:
        n[stage, canary, viewer] += requests
        y[stage, canary, viewer] += successes
    viewers = {viewer for _, _, viewer in n}
    stages = sorted({stage for stage, _, _ in n})
    total = {(s, c): sum(v for k, v in n.items() if k[:2] == (s, c)) for s in stages for c in (False, True)}
    wins = {(s, c): sum(v for k, v in y.items() if k[:2] == (s, c)) for s in stages for c in (False, True)}
    used = [s for s in stages if min(wins[s, False], wins[s, True]) >= min_successes]
    rate = {(s, c): wins[s, c] / total[s, c] for s in used for c in (False, True)}
    failing = {key: max(1 - value, 1 / total[key]) for key, value in rate.items()}  # as with one failure
    precision = {s: 1 / sum(failing[s, c] / wins[s, c] for c in (False, True)) for s in used}
    weight = {s: precision[s] / sum(precision.values()) for s in used}
    mean = {
        (s, c): sum(n[s, c, u] * covariate[u] for u in viewers) / total[s, c]
        for s in used
        for c in (False, True)
    }
    theta = sum(weight[s] * math.log(rate[s, True] / rate[s, False]) for s in used)
    gap = sum(weight[s] * (mean[s, True] - mean[s, False]) for s in used)
    psi, phi = {}, {}
    for u in viewers:
        psi[u] = sum(
            weight[s] * sign * (y[s, c, u] - rate[s, c] * n[s, c, u]) / wins[s, c]
            for s in used
            for c, sign in ((True, 1), (False, -1))
        )
        phi[u] = sum(
            weight[s] * sign * n[s, c, u] * (covariate[u] - mean[s, c]) / total[s, c]
            for s in used
            for c, sign in ((True, 1), (False, -1))
        )
    spread = sum(value**2 for value in phi.values())
    beta = sum(psi[u] * phi[u] for u in viewers) / spread if spread > 1e-15 else 0.0
    variance = sum((psi[u] - beta * phi[u]) ** 2 for u in viewers)
    return theta - beta * gap, variance, beta
