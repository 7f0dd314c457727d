"""The estimator: by hand, against the design written naively, and against two other tools."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.evaluation import Before, RampStage, ReleasePlan, Served
from deploy.evaluation.estimate import Estimate, estimate
from deploy.evaluation.tallies import COVARIATE_UNIT, Tally
from tests.unit.deploy.evaluation.support import Row, before, matured, naive_estimate

PLAN = ReleasePlan(ramp=(RampStage(0.1, 1), RampStage(0.5)))


def estimated(
    rows: list[Row], history: list[tuple[int, int, int]] | None = None, min_successes: int = 2
) -> Estimate:
    tally = Tally(PLAN)
    tally.add(before(history) if history else Before(), matured(rows), Served())
    return estimate(tally.sums, tally.moments, min_successes)


def test_one_stage_by_hand() -> None:
    """Canary: viewers with 1 of 2 and 3 of 4, so 4 of 6. Main: 2 of 4 and 0 of 4, so 2 of 8.

    theta = log((4/6) / (2/8)). Influences: (1 - 2 * 2/3) / 4, (3 - 4 * 2/3) / 4, (2 - 1) / 2, (0 - 1) / 2.
    """
    found = estimated([(0, 1, True, 2, 1), (1, 1, True, 4, 3), (2, 1, False, 4, 2), (3, 1, False, 4, 0)])
    assert found.theta[0] == pytest.approx(math.log((4 / 6) / (2 / 8)))
    variance = (1 / 12) ** 2 + (1 / 12) ** 2 + 0.5**2 + 0.5**2
    assert 1 / found.information[0] == pytest.approx(variance)


def test_two_stages_are_weighted_by_precision() -> None:
    rows: list[Row] = [
        (0, 1, True, 20, 5),
        (1, 1, False, 80, 16),
        (2, 2, True, 50, 10),
        (3, 2, False, 50, 20),
    ]
    precision = [1 / (0.75 / 5 + 0.8 / 16), 1 / (0.8 / 10 + 0.6 / 20)]
    weight = [value / sum(precision) for value in precision]
    found = estimated(rows)
    assert found.weight[0].tolist() == pytest.approx(weight)
    assert found.theta[0] == pytest.approx(weight[0] * math.log(0.25 / 0.2) + weight[1] * math.log(0.2 / 0.4))


def test_a_viewer_who_moves_from_main_to_canary_is_one_unit() -> None:
    """The influences of both stages add up before they are squared: here they cancel in part."""
    apart: list[Row] = [
        (0, 1, False, 9, 4),
        (1, 1, True, 5, 2),
        (2, 2, True, 9, 4),
        (3, 2, False, 5, 2),
        (5, 1, False, 3, 0),
        (6, 2, True, 3, 0),
    ]
    together: list[Row] = [(0 if viewer == 2 else viewer, *rest) for viewer, *rest in apart]  # type: ignore[misc]
    covariate = dict.fromkeys(range(7), 0.0)
    for rows in (apart, together):
        theta, variance, _ = naive_estimate(rows, covariate, 2)
        found = estimated(rows)
        assert found.theta[0] == pytest.approx(theta)
        assert 1 / found.information[0] == pytest.approx(variance)
    assert estimated(apart).information[0] != pytest.approx(estimated(together).information[0])


def test_a_stage_with_too_few_successes_waits() -> None:
    rows: list[Row] = [
        (0, 1, True, 20, 9),
        (1, 1, False, 80, 16),
        (2, 2, True, 50, 10),
        (3, 2, False, 50, 20),
    ]
    rows += [(4, 2, True, 50, 11), (5, 2, False, 50, 10)]
    found = estimated(rows, min_successes=10)
    assert found.used[0].tolist() == [False, True]
    assert found.theta[0] == pytest.approx(math.log(0.21 / 0.3))
    nothing = estimated(rows, min_successes=31)
    assert not nothing.used.any()
    assert nothing.information[0] == 0


@pytest.mark.parametrize("by", ["requests", "successes"])
def test_a_stage_with_too_few_effective_viewers_waits(by: str) -> None:
    """One viewer has 90 of the canary's 99 requests, or of their successes: ten viewers are worth 1.2."""
    most, others = ((90, 1), (1, 1)) if by == "requests" else ((90, 90), (90, 1))
    rows: list[Row] = [(0, 1, True, *most), *((viewer, 1, True, *others) for viewer in range(1, 10))]
    rows += [(viewer, 1, False, 1, viewer % 2) for viewer in range(10, 50)]
    tally = Tally(PLAN)
    tally.add(Before(), matured(rows), Served())
    worth = 99**2 / (90**2 + 9)
    assert estimate(tally.sums, tally.moments, 2, worth - 1e-9).used[0, 0]
    assert not estimate(tally.sums, tally.moments, 2, worth + 1e-9).used[0, 0]


def test_an_arm_that_never_fails_is_no_division_by_zero() -> None:
    rows: list[Row] = [(0, 1, True, 5, 5), (1, 1, False, 4, 4), (2, 1, False, 4, 4)]
    found = estimated(rows)
    assert found.information[0] == 0  # no variance seen: no claim
    assert np.isfinite(found.theta).all()


viewer_rows = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 2), st.booleans(), st.integers(1, 6), st.integers(0, 6)).map(
        lambda row: (*row[:4], min(row[4], row[3]))
    ),
    min_size=12,
    max_size=60,
)


@given(
    rows=viewer_rows, seen=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=12, max_size=12)
)
def test_moments_give_what_the_design_says_viewer_by_viewer(
    rows: list[Row], seen: list[tuple[int, int]]
) -> None:
    history = [(viewer, n, min(y, n)) for viewer, (n, y) in enumerate(seen)]
    a, m = PLAN.cuped_successes, PLAN.cuped_requests
    covariate = {
        viewer: round(COVARIATE_UNIT * ((y + a) / (n + m) - a / m)) / COVARIATE_UNIT
        for viewer, n, y in history
    }
    found = estimated(rows, history)
    if not found.used.any() or found.information[0] > 1e12 or found.information[0] == 0:
        return
    theta, variance, beta = naive_estimate(rows, covariate, 2)
    assert found.theta[0] == pytest.approx(theta, abs=1e-8)
    assert 1 / found.information[0] == pytest.approx(variance, rel=1e-6, abs=1e-12)
    assert COVARIATE_UNIT * found.beta[0] == pytest.approx(beta, rel=1e-6, abs=1e-8)


def test_an_even_covariate_changes_nothing() -> None:
    rows: list[Row] = [
        (0, 1, True, 20, 5),
        (1, 1, False, 80, 16),
        (2, 1, True, 50, 10),
        (3, 1, False, 50, 20),
    ]
    plain, adjusted = estimated(rows), estimated(rows, [(viewer, 7, 3) for viewer in range(4)])
    assert adjusted.theta[0] == plain.theta[0]
    assert adjusted.information[0] == plain.information[0]


def test_a_covariate_that_explains_viewers_narrows_the_interval() -> None:
    random = np.random.default_rng(5)
    rates = random.beta(0.9, 8.1, 4000)
    rows: list[Row] = [
        (viewer, 1, viewer % 2 == 0, 10, int(random.binomial(10, rate))) for viewer, rate in enumerate(rates)
    ]
    history = [(viewer, 10, int(random.binomial(10, rate))) for viewer, rate in enumerate(rates)]
    ratio = estimated(rows).information[0] / estimated(rows, history).information[0]
    assert 0.6 < ratio < 0.85


# Sixty viewers, requests and successes by arithmetic, arms by turns.
U = np.arange(60)
REQUESTS = 1 + (U * 7) % 5 + U % 3
SUCCESSES = np.minimum(REQUESTS, ((U * U) % 7) % 4)


def test_other_tools_give_the_same_estimate_and_variance() -> None:
    """Oracles: tea-tasting 1.14.0 and gbstats 0.8.0 on the same sixty viewers.

    tea-tasting's RatioOfMeans(use_t=False) gives a relative effect of 0.08333 with the interval (-0.374619,
    0.876635), which is symmetric in log(1 + effect). gbstats' RatioStatistic gives variances of 0.0508621
    (rate 0.2) and 0.0509818 (rate 0.216667) per viewer. Both divide by n - 1, we by n.
    """
    rows: list[Row] = [
        (int(u), 1, bool(u % 2), int(n), int(y)) for u, n, y in zip(U, REQUESTS, SUCCESSES, strict=True)
    ]
    found = estimated(rows)
    low, high = math.log1p(-0.37461939610382533), math.log1p(0.8766349704474576)
    se = math.sqrt(1 / found.information[0] * 30 / 29)
    assert found.theta[0] == pytest.approx((low + high) / 2, abs=1e-9)
    assert se == pytest.approx((high - low) / (2 * 1.959963985), rel=1e-8)
    by_gbstats = 0.05086206896551724 / 30 / 0.2**2 + 0.050981800766283523 / 30 / 0.21666666666666667**2
    assert se**2 == pytest.approx(by_gbstats, rel=1e-9)
