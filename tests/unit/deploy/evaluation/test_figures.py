"""How figures are judged and written: exact limits, quantiles, rules of other tools, the document."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.evaluation.comparison import (
    at_least_as_good,
    below_threshold,
    different_when_pooled,
    lower_by_ranks,
    not_worse_by_mann_whitney,
    worse_by_peeking,
    worse_by_z_test,
)
from deploy.evaluation.figures import Figure, Rule, at_least, at_most, caught, lower_limit, upper_limit
from deploy.evaluation.results import Decision
from deploy.evaluation.simulate import replaced, table
from deploy.evaluation.simulation import Releases
from tests.unit.deploy.evaluation.support import binomial


def test_limits_are_those_of_clopper_and_pearson() -> None:
    assert upper_limit(0, 1_000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    at_most_twelve = sum(binomial(hits, 400, upper_limit(12, 400)) for hits in range(13))
    below_twelve = sum(binomial(hits, 400, lower_limit(12, 400)) for hits in range(12))
    assert (at_most_twelve, below_twelve) == (pytest.approx(0.05), pytest.approx(0.95))
    assert (upper_limit(5, 5), lower_limit(0, 5)) == (1.0, 0.0)


def ended(decisions: list[Decision]) -> Releases:
    size = len(decisions)
    numbers = np.arange(1, size + 1)
    some = numbers.astype(np.float64)
    return Releases(decisions, [""] * size, some, numbers, 10 * numbers, some, some)


def test_figures_say_whether_they_keep_their_bound() -> None:
    few = ended(["roll_back"] * 3 + ["inconclusive"] * 997)
    assert at_most("x", few, "roll_back", 0.05).met
    assert not at_most("x", few, "inconclusive", 0.05).met
    assert at_least("x", 90, 100, 0.9).met
    assert not at_least("x", 89, 100, 0.9).met


def test_a_release_never_caught_counts_as_never() -> None:
    found = ended(["roll_back"] * 9 + ["inconclusive"])
    assert caught("x", found, found.matured, 50, 60).measured == "median 60 of 10 releases"
    assert caught("x", found, found.matured, 90, 10**6).measured == "p90 never of 10 releases"
    assert not caught("x", found, found.matured, 90, 10**6).met


def series(main: float, canary: float, looks: int = 40) -> np.ndarray:
    """A thousand requests a look and arm, two releases."""
    one = np.array([[1000.0, 1000.0], [1000 * main, 1000 * canary]])
    return np.broadcast_to(one, (looks, 2, 2, 2)).copy()


def test_other_rules_do_what_their_names_say() -> None:
    same, worse = series(0.1, 0.1), series(0.1, 0.09)
    assert at_least_as_good(same, 40).all()
    assert not at_least_as_good(worse, 40).any()
    assert worse_by_z_test(worse, 40).all()
    assert not worse_by_z_test(same, 40).any()
    assert not worse_by_z_test(worse, 1).any()
    assert worse_by_peeking(worse, 40).all()
    assert below_threshold(worse, 0.095).all()
    assert not below_threshold(same, 0.095).any()
    assert not_worse_by_mann_whitney(same, 40).all()
    assert not not_worse_by_mann_whitney(worse, 40).any()


def test_ranks_give_what_scipy_gives() -> None:
    """`scipy.stats.mannwhitneyu(x, y, alternative="less", method="asymptotic")`, version 1.17.1."""
    x, y = np.array([0.1, 0.2, 0.2, 0.3, 0.5]), np.array([0.2, 0.3, 0.4, 0.4, 0.5, 0.6, 0.9])
    assert lower_by_ranks(x, y) == pytest.approx(0.05006307235538096)
    assert lower_by_ranks(y, x) == pytest.approx(0.9647485945278155)
    assert lower_by_ranks(np.ones(9), np.ones(9)) == 1.0


def test_pooling_over_a_ramp_sees_a_difference_that_is_none() -> None:
    """At night (rate 0.08) the canary has a tenth of the traffic, by day (rate 0.12) half."""
    night, day = series(0.08, 0.08), series(0.12, 0.12)
    night[:, :, :, 1] /= 10
    assert different_when_pooled(np.concatenate([night, day])).all()
    assert not different_when_pooled(day).any()


def test_the_document_gets_both_tables_between_its_marks() -> None:
    text = table(
        [Figure("a", "<= 1", "0.5", True), Figure("b", "<= 1", "2", False)],
        [Rule("r", "promotes", 0.5, 0.25)],
    )
    document = replaced("above\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nbelow", text)
    assert document.startswith("above\n<!-- figures: begin -->\n| what |")
    assert "| b | <= 1 | 2 | **missed** |" in document
    assert "| r | promotes | 50.0% | 25.0% |" in document
    assert document.endswith("<!-- figures: end -->\nbelow")
    assert "old" not in document
