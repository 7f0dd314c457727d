"""Secondary metrics by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploy.evaluation.secondary import coverage, difference, winsorised


def test_a_difference_by_hand() -> None:
    """Main: viewers with 2 and 4 in one request each; canary: 6 in two requests and 1 in one.

    Means 3 and 7/3. Influences: main -(2 - 3)/2, -(4 - 3)/2; canary (6 - 2 * 7/3)/3, (1 - 7/3)/3.
    """
    found = difference(
        "minutes",
        viewer=np.array([0, 1, 2, 3]),
        stage=np.array([1, 1, 1, 1]),
        canary=np.array([False, False, True, True]),
        requests=[1, 1, 2, 1],
        value=[2, 4, 6, 1],
    )
    assert found is not None
    assert (found.main, found.canary) == pytest.approx((3, 7 / 3))
    radius = 1.959963985 * math.sqrt(0.25 + 0.25 + (4 / 9) ** 2 + (4 / 9) ** 2)
    assert (found.low, found.high) == pytest.approx((7 / 3 - 3 - radius, 7 / 3 - 3 + radius))


def test_stages_are_compared_within_themselves() -> None:
    """Both arms do better in the second stage, where most of the canary plays: no difference."""
    found = difference(
        "likes",
        viewer=np.arange(4),
        stage=np.array([1, 1, 2, 2]),
        canary=np.array([False, True, False, True]),
        requests=[90, 10, 50, 50],
        value=[9, 1, 25, 25],
    )
    assert found is not None
    assert found.difference == pytest.approx(0)


def test_without_both_arms_there_is_no_difference() -> None:
    one = np.array([0])
    assert difference("likes", one, one + 1, np.array([True]), [5], [1]) is None


def test_one_marathon_is_cut_to_the_percentile() -> None:
    values = [*range(100), 10_000]
    assert winsorised(values).max() == np.percentile(values, 99)
    assert winsorised([]).size == 0


def test_coverage_compares_arms_of_different_size() -> None:
    """Two of four places of (3, 1) hold the rare video in half of the draws: 1 + 1/2 of 4 videos."""
    assert coverage([3, 1, 0, 0], sample=2, catalogue=4) == pytest.approx(1.5 / 4)
    assert coverage([3, 1], sample=4, catalogue=2) == pytest.approx(1)
