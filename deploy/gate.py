"""The offline gate: whether a bundle's offline evaluation allows it to meet viewers at all.

It compares the candidate with main and with a trending list, viewer by viewer, and refuses what is worse.
That it is better is for the online evaluation to show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidBundleError
from storage.bundles import Manifest
from storage.offline import OfflineReport, read_report

MARGIN: Final = 0.03  # of the reference's NDCG@20
MIN_VIEWERS: Final = 20
DRAWS: Final = 2_000
LEVEL: Final = 0.95
_AT_ONCE: Final = 1 << 20  # drawn values in memory

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus reference in mean NDCG@20, with its bootstrap interval over viewers."""

    estimate: float
    low: float
    high: float
    reference: float
    viewers: int
    paired: bool

    def text(self) -> str:
        """The figures in words."""
        how = "paired" if self.paired else "as lift over trending, on different data"
        return (
            f"NDCG@20 {self.estimate:+.4f} (95% interval {self.low:+.4f} to {self.high:+.4f}; "
            f"reference {self.reference:.4f}; {self.viewers} viewers, {how})"
        )


@dataclass(frozen=True, slots=True)
class GateResult:
    """`reasons` are sentences why not; `figures` tell each comparison, passed or not."""

    passed: bool
    reasons: tuple[str, ...]
    figures: tuple[str, ...]


def offline_gate(store: Path) -> Callable[[Manifest, Manifest], Sequence[str]]:
    """The gate over the bundles of a store: reasons why the candidate must not meet viewers; none: it may."""

    def refusals(candidate: Manifest, main: Manifest) -> Sequence[str]:
        try:
            ours, theirs = read_report(store / candidate.version), read_report(store / main.version)
        except InvalidBundleError as error:
            return [f"nothing to compare: {error}"]
        return gate(ours, theirs).reasons

    return refusals


def gate(candidate: OfflineReport, main: OfflineReport | None, margin: float = MARGIN) -> GateResult:
    """Compare a candidate with main, if there is one, and with trending.

    Refused is what has too few viewers to tell, what is worse than main by more than `margin` of its NDCG@20,
    and what is worse than trending beyond chance: its whole interval lies below zero. See
    docs/decisions/008-gate-against-trending.md.
    """
    if len(candidate.viewers) < MIN_VIEWERS:
        few = f"only {len(candidate.viewers)} viewers came back in the offline evaluation, {MIN_VIEWERS} are needed"
        return GateResult(False, (few,), ())
    reasons, figures = [], []
    if main is not None:
        against_main = compare(candidate, main)
        figures.append(f"against main: {against_main.text()}")
        if against_main.estimate < -margin * against_main.reference:
            reasons.append(f"worse than main ({main.version}) beyond {margin:.0%}: {against_main.text()}")
    against_trending = paired(candidate.ndcg, candidate.trending)
    figures.append(f"against trending: {against_trending.text()}")
    if against_trending.high < 0:
        reasons.append(f"worse than the trending list beyond chance: {against_trending.text()}")
    return GateResult(not reasons, tuple(reasons), tuple(figures))


def compare(candidate: OfflineReport, main: OfflineReport) -> Difference:
    """Candidate minus main: in pairs of viewers on the same question, else their lifts over trending."""
    shared, ours, theirs = np.intersect1d(candidate.viewers, main.viewers, return_indices=True)
    if candidate.question == main.question and len(shared):
        return paired(candidate.ndcg[ours], main.ndcg[theirs])
    lift, reference = _lift(candidate), _lift(main)
    draws = _means(lift, seed=1) - _means(reference, seed=2)
    low, high = _interval(draws)
    estimate = float(lift.mean() - reference.mean()) if len(reference) else float(lift.mean())
    level = float(main.ndcg.mean()) if len(main.ndcg) else 0.0
    return Difference(estimate, low, high, level, len(lift), paired=False)


def paired(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Difference:
    """Mean difference of two figures of the same viewers, in pairs."""
    gain = ours.astype(np.float64) - theirs
    low, high = _interval(_means(gain, seed=1))
    return Difference(float(gain.mean()), low, high, float(theirs.mean()), len(gain), paired=True)


def _lift(report: OfflineReport) -> Floats:
    return report.ndcg.astype(np.float64) - report.trending


def _means(values: Floats, seed: int) -> Floats:
    """Means of bootstrap samples of viewers; the same ones whenever the same figures are compared."""
    if not len(values):
        return np.zeros(DRAWS)
    generator = np.random.default_rng(seed)
    size = len(values)
    block = max(1, _AT_ONCE // size)
    parts = [
        values[generator.integers(0, size, (min(block, DRAWS - start), size))].mean(axis=1)
        for start in range(0, DRAWS, block)
    ]
    return np.concatenate(parts)


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
