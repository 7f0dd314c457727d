"""The drawings of a bundle's report, as shapes on paper; the template draws them as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from load_balancer.control.axes import Tick, round_ticks
from load_balancer.control.plots import NARROW, WIDE, Paper

ROW: Final = 56  # height of one interval with its words above it
BIN: Final = 0.05
FURTHEST: Final = 0.5  # gains beyond it are counted at the ends
_GAIN_LABELS: Final = (
    (-0.5, "−.5 or less"),
    (-0.25, "−.25"),
    (0.0, "0"),
    (0.25, "+.25"),
    (0.5, "+.5 or more"),
)
PAPERS: Final = (replace(WIDE, left=24, right=24), replace(NARROW, left=14, right=14, ticks=4))
BAR_PAPERS: Final = (
    replace(WIDE, height=220, left=58, right=24),
    replace(NARROW, height=200, left=46, right=14, ticks=4),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The bundle minus something else in mean NDCG@20, with an interval over viewers.

    `refused_below` is the difference at which the gate says no; None where the gate does not look.
    """

    against: str
    estimate: float
    low: float
    high: float
    reference: float
    viewers: int
    paired: bool = True
    refused_below: float | None = None

    @property
    def tone(self) -> str:
        """Whether zero is outside the interval, and on which side."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "equal"


@dataclass(frozen=True, slots=True)
class Whisker:
    """One comparison on paper; `bound` is where the gate refuses."""

    tone: str
    name: str
    words: str
    y: float
    low: float
    at: float
    high: float
    bound: float | None


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """All comparisons under each other on one axis."""

    paper: Paper
    whiskers: Sequence[Whisker]
    ticks: Sequence[Tick]
    zero: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One column of a histogram."""

    tone: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class GainPlot:
    """How many viewers gain or lose how much."""

    paper: Paper
    bars: Sequence[Bar]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    zero: float


@dataclass(frozen=True, slots=True)
class Gains:
    """Shares of viewers whose list is better, just as good, or worse than the trending list."""

    better: float
    equal: float
    worse: float


def interval_plot(comparisons: Sequence[Comparison], paper: Paper) -> IntervalPlot | None:
    """Dot and whisker for each comparison."""
    if not comparisons:
        return None
    paper = replace(paper, height=len(comparisons) * ROW + paper.top + paper.bottom, top=8)
    bounds = [found.refused_below for found in comparisons if found.refused_below is not None]
    low = min(0.0, *bounds, *(found.low for found in comparisons))
    high = max(0.0, *(found.high for found in comparisons))
    space = 0.06 * (high - low) or 0.01
    x = paper.x(low - space, high + space)
    whiskers = [
        Whisker(
            tone=found.tone,
            name=found.against,
            words=_words(found),
            y=paper.top + ROW * place + 40,
            low=x(found.low),
            at=x(found.estimate),
            high=x(found.high),
            bound=None if found.refused_below is None else x(found.refused_below),
        )
        for place, found in enumerate(comparisons)
    ]
    return IntervalPlot(paper, whiskers, round_ticks(x, paper.ticks), x(0))


def gains(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Gains:
    """Shares of viewers by the sign of their difference."""
    difference = ours.astype(np.float64) - theirs
    number = max(1, len(difference))
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    return Gains(better / number, (number - better - worse) / number, worse / number)


def gain_plot(ours: NDArray[np.float32], theirs: NDArray[np.float32], paper: Paper) -> GainPlot | None:
    """Histogram of the differences that are not zero, in percent of all viewers."""
    difference = ours.astype(np.float64) - theirs
    changed = np.clip(difference[difference != 0], -FURTHEST + BIN / 2, FURTHEST - BIN / 2)
    if not len(changed):
        return None
    edges = np.linspace(-FURTHEST, FURTHEST, round(2 * FURTHEST / BIN) + 1)
    shares = 100 * np.histogram(changed, edges)[0] / len(difference)
    x, y = paper.x(-FURTHEST, FURTHEST), paper.y(0, float(shares.max()) * 1.05)
    bars = [
        Bar(
            tone="worse" if left < -BIN / 2 else "better",
            x=x(left) + 0.8,
            y=y(share),
            width=round(x(left + BIN) - x(left) - 1.6, 1),
            height=round(paper.y_end - y(share), 1),
        )
        for left, share in zip(edges[:-1].tolist(), shares.tolist(), strict=True)
    ]
    x_ticks = [
        Tick(x(value), label) for value, label in _GAIN_LABELS if value in (-0.5, 0, 0.5) or paper.ticks > 4
    ]
    y_ticks = [replace(tick, label=tick.label.lstrip("+")) for tick in round_ticks(y, 4, "%")]
    return GainPlot(paper, bars, x_ticks, y_ticks, x(0))


def shares_of(values: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Name, value and part of the largest, the largest first: the rows of a table with bars."""
    most = max(values.values(), default=0.0) or 1.0
    ordered = sorted(values.items(), key=lambda pair: -pair[1])
    return [(name, value, round(100 * max(0.0, value) / most, 1)) for name, value in ordered]


def _words(found: Comparison) -> str:
    sign = "+" if found.estimate >= 0 else "−"
    change = f" ({100 * found.estimate / found.reference:+.0f}%)".replace("-", "−") if found.reference else ""
    return f"{sign}{abs(found.estimate):.3f}{change}"
