"""E-values against published values, against the definition, and against what they promise."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.evaluation.evidence import (
    expected_shares,
    interval_radius,
    log_mixture,
    log_normal_mixture,
    log_ratio_step,
    log_sample_ratio,
    mixture_rho,
    ratio_grid,
)
from tests.unit.deploy.evaluation.support import binomial

# Unit tests of Howard et al.'s confseq, "target values from a reference implementation in R", for
# v_opt = 100 and alpha_opt = 0.05: rho is the closed approximation that confseq uses in place of Lambert's W.
TWO_SIDED_RHO = 12.60056
ONE_SIDED_RHO = 100 / (2 * math.log(10) + math.log(1 + 2 * math.log(10)))


def test_the_one_sided_normal_mixture_has_the_published_value() -> None:
    assert float(log_normal_mixture(10, 100, ONE_SIDED_RHO)) == pytest.approx(-0.06502391, abs=1e-7)
    # the published boundary at alpha = 0.05
    assert float(log_normal_mixture(27.66071, 100, ONE_SIDED_RHO)) == pytest.approx(math.log(20), abs=1e-5)


def test_the_interval_has_the_published_boundary() -> None:
    assert 100 * float(interval_radius(100, TWO_SIDED_RHO, 0.05)) == pytest.approx(30.35209, abs=1e-4)


def test_rho_is_the_exact_optimum_near_the_published_approximation() -> None:
    rho = mixture_rho(100, 0.05)
    assert rho == pytest.approx(TWO_SIDED_RHO, rel=0.05)
    for other in (0.9 * rho, 1.1 * rho):
        assert float(interval_radius(100, rho, 0.05)) < float(interval_radius(100, other, 0.05))


@pytest.mark.parametrize("score", [-30.0, 0.0, 12.0, 60.0])
def test_the_mixture_is_the_integral_it_stands_for(score: float) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(120)  # of Gauss and Legendre's rule, on [-1, 1]
    effects = 2 * (nodes + 1)  # beyond 4 nothing is left
    density = 2 * np.sqrt(7 / (2 * np.pi)) * np.exp(-(effects**2) * 7 / 2)
    integral = 2 * weights @ (density * np.exp(effects * score - effects**2 * 50 / 2))
    assert float(log_normal_mixture(score, 50, 7.0)) == pytest.approx(math.log(integral), abs=1e-6)


def test_without_information_there_is_no_evidence() -> None:
    assert float(log_normal_mixture(0, 0, 3.0)) == 0.0


def test_a_binomial_step_is_the_likelihood_ratio() -> None:
    """Seven events of the canary and nine of main, with 200 and 900 exposures; r = 3 against r0 = 1.5."""
    added = log_ratio_step([[900, 200]], [[9, 7]], np.array([[3.0]]), np.array([[1.5]]))
    alternative, null = 200 * 3 / (200 * 3 + 900), 200 * 1.5 / (200 * 1.5 + 900)
    assert added[0, 0] == pytest.approx(math.log(binomial(7, 16, alternative) / binomial(7, 16, null)))


def test_a_step_without_exposures_adds_nothing() -> None:
    for exposures, events in (([0, 0], [0, 0]), ([900, 0], [9, 0]), ([0, 200], [0, 7])):
        assert log_ratio_step(exposures, events, np.array([3.0]), np.array([1.5])) == pytest.approx(0.0)


@given(
    exposures=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    events=st.integers(1, 12),
    null=st.sampled_from([1.0, 1.5]),
    worse=st.booleans(),
)
def test_a_ratio_process_is_an_e_value_under_its_null(
    exposures: tuple[int, int], events: int, null: float, worse: bool
) -> None:
    """Its expectation is 1 at the null ratio, and at most 1 on the harmless side of it."""
    grid = null * ratio_grid(1.05, 50, 40)
    actual = null * (0.7 if worse else 1.0)
    main, canary = exposures
    chance = canary * actual / (canary * actual + main)
    expected = 0.0
    for hits in range(events + 1):
        step = log_ratio_step([main, canary], [events - hits, hits], grid, np.array([null]))
        expected += binomial(hits, events, chance) * math.exp(float(log_mixture(step)))
    assert expected <= 1 + 1e-9
    if not worse:
        assert expected == pytest.approx(1)


def test_counts_are_never_pooled_over_looks() -> None:
    """An incident hits both arms while the canary is small, another while it is large: no evidence."""
    grid, null = 1.5 * ratio_grid(1.05, 50, 40), np.array([1.5])
    small = log_ratio_step([990, 10], [495, 5], grid, null)
    large = log_ratio_step([500, 500], [5, 5], grid, null)
    pooled = log_ratio_step([1490, 510], [500, 10], grid, null)
    assert float(log_mixture(small + large)) < 0
    assert not np.allclose(small + large, pooled)


def test_the_grid_is_even_in_its_logarithm_and_holds_both_ends() -> None:
    grid = ratio_grid(1.05, 50, 40)
    assert grid[0] == pytest.approx(1.05)
    assert grid[-1] == pytest.approx(50)
    steps = [after / before for before, after in pairwise(grid.tolist())]
    assert max(steps) == pytest.approx(min(steps))


def test_expected_shares_follow_from_the_ramp() -> None:
    expected = expected_shares((0.1, 0.5))
    assert expected[0].tolist() == [0.1, 0.5]
    assert expected[1, 1] == pytest.approx(0.4 / 0.9)  # not in the canary at 10%: 40 of the other 90
    assert np.isnan(expected[1, 0])
    assert np.isnan(expected[2]).all()


def test_the_sample_ratio_mixes_a_loss_of_either_arm_with_whatever_else() -> None:
    """Of the canary's viewers, or main's, a tenth is lost; or a uniform share (concentration 2): 1 / (n + 1)."""
    counts = np.zeros((2, 1, 2))
    counts[0, 0] = [7, 3]
    canary_lost, main_lost = binomial(3, 10, 0.9 / 1.9), binomial(3, 10, 1 / 1.9)
    mixed = 0.4 * canary_lost + 0.4 * main_lost + 0.2 / 11
    log_e = float(log_sample_ratio(counts, expected_shares((0.5,)), 2.0, 0.1))
    assert log_e == pytest.approx(math.log(mixed / binomial(3, 10, 0.5)))


def test_the_sample_ratio_adds_up_a_loss_over_cells() -> None:
    """A tenth of the canary's viewers is lost in either of two cells, too little for one of them alone."""
    expected = expected_shares((0.1, 0.5))
    one, both = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    one[0, 0] = both[0, 0] = [9_000, 900]
    both[1, 1] = [1_000, 720]
    assert log_sample_ratio(one, expected, 1000.0, 0.1) < math.log(100)
    assert log_sample_ratio(both, expected, 1000.0, 0.1) > math.log(100)


@given(share=st.sampled_from([0.01, 0.1, 0.5]), viewers=st.integers(0, 60))
def test_the_sample_ratio_is_an_e_value_under_its_null(share: float, viewers: int) -> None:
    expected = 0.0
    for hits in range(viewers + 1):
        counts = np.zeros((2, 1, 2))
        counts[0, 0] = [viewers - hits, hits]
        log_e = float(log_sample_ratio(counts, expected_shares((share,)), 1000.0, 0.1))
        expected += binomial(hits, viewers, share) * math.exp(log_e)
    assert expected == pytest.approx(1)
