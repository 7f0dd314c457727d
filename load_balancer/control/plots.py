"""The plots of a release page, as shapes on paper; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from load_balancer.control.axes import (
    Scale,
    Tick,
    decade_ticks,
    path,
    round_ticks,
    stairs,
    time_ticks,
)
from load_balancer.control.reading import ReleaseView
from load_balancer.control.words import share as share_text

Result = Mapping[str, Any]

# The processes that decide, in the order of the legend: name, class of the style sheet, what they say.
PROCESSES: Final = (
    ("non_inferiority", "promote", "at most {margin} worse"),
    ("harm_ratio", "harm", "worse"),
    ("harm_first_success", "harm-first", "nothing to watch"),
)
MIN_DECADE, MAX_DECADE = -3.0, 6.0
STAGE_LABEL: Final = 28  # width of a share's label; the template has the last one end at its line


@dataclass(frozen=True, slots=True)
class Paper:
    """Size and margins of a drawing, in its own units. Two are drawn; the style sheet shows the one that fits."""

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int = 26
    bottom: int = 30
    ticks: int = 7
    labels_beside: bool = False

    @property
    def x_end(self) -> int:
        return self.width - self.right

    @property
    def y_end(self) -> int:
        return self.height - self.bottom

    def x(self, low: float, high: float) -> Scale:
        """Left to right."""
        return Scale(low, high, self.left, self.x_end)

    def y(self, low: float, high: float) -> Scale:
        """Bottom to top."""
        return Scale(low, high, self.y_end, self.top)


WIDE = Paper("wide", 736, 280, left=58, right=126, labels_beside=True)
NARROW = Paper("narrow", 350, 250, left=52, right=12, ticks=3)
PAPERS = (WIDE, NARROW)
SHORT_PAPERS = (replace(WIDE, height=150), replace(NARROW, height=140))


@dataclass(frozen=True, slots=True)
class Line:
    """A curve; `end` is where a dot marks its latest value."""

    kind: str
    d: str
    end: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Guide:
    """A horizontal line and its meaning, written at `label_y`."""

    kind: str
    y: float
    label: str
    label_y: float = 0.0


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything there is to draw. `bands` are closed shapes behind the lines."""

    paper: Paper
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line]
    guides: Sequence[Guide] = ()
    bands: Sequence[Line] = ()
    stages: Sequence[Tick] = field(default_factory=list)


def estimate_plot(view: ReleaseView, paper: Paper) -> Plot | None:
    """Relative change of watch-through with its confidence sequence, in percent, over time."""
    start_ms = view.opened_ms
    results = [look.result for look in view.looks if look.result.get("theta") is not None]
    if start_ms is None or not results:
        return None
    margin = -100 * float(view.evaluation.get("margin", 0.03))
    x = _time_scale(view, start_ms, paper)
    low, high = _estimate_range(results, margin)
    y = paper.y(low, high)
    at = [x(result["at_ms"] - start_ms) for result in results]
    middle = [(a, y.clamped(_change(r["theta"]))) for a, r in zip(at, results, strict=True)]
    lows = [(a, y.clamped(_change(r["low"]))) for a, r in zip(at, results, strict=True)]
    highs = [(a, y.clamped(_change(r["high"]))) for a, r in zip(at, results, strict=True)]
    return Plot(
        paper=paper,
        x_ticks=time_ticks(x, paper.ticks),
        y_ticks=round_ticks(y, 5, "%"),
        lines=[Line("estimate", path(middle), middle[-1])],
        bands=[Line("interval", _band(lows, highs))],
        guides=_labelled(
            paper,
            Guide("zero", y(0), f"as much as {view.row.base_version}"),
            Guide("margin", y(margin), f"margin {margin:g}%".replace("-", "−")),
        ),
        stages=_stages(view, x, start_ms, paper),
    )


def evidence_plot(view: ReleaseView, paper: Paper) -> Plot | None:
    """The e-values of the processes that decide, on a logarithmic axis, with their thresholds."""
    start_ms = view.opened_ms
    if start_ms is None or not view.looks:
        return None
    series = {name: _log10(view, name) for name, _, _ in PROCESSES}
    thresholds = _thresholds(view)
    values = [value for points in series.values() for _, value in points]
    x = _time_scale(view, start_ms, paper)
    low = min(-1.0, max(min(values, default=0.0), MIN_DECADE))
    high = max(2.6, min(max(values, default=0.0) + 0.3, MAX_DECADE))
    y = paper.y(low, high)
    lines = []
    for name, kind, _ in PROCESSES:
        points = [(x(at - start_ms), y.clamped(value)) for at, value in series[name]]
        if points:
            lines.append(Line(kind, path([(x(0), y(0)), *points]), points[-1]))
    guides = [Guide("zero", y(0), "")]
    if "harm_ratio" in thresholds:
        guides.append(Guide("harm", y(thresholds["harm_ratio"]), _at("roll back", thresholds["harm_ratio"])))
    if "non_inferiority" in thresholds:
        value = thresholds["non_inferiority"]
        guides.append(Guide("promote", y(value), _at("promote", value)))
    return Plot(
        paper=paper,
        x_ticks=time_ticks(x, paper.ticks),
        y_ticks=decade_ticks(y),
        lines=lines,
        guides=_labelled(paper, *guides),
        stages=_stages(view, x, start_ms, paper),
    )


def share_plot(view: ReleaseView, paper: Paper) -> Plot | None:
    """The canary's share of the audience over time."""
    start_ms = view.opened_ms
    if start_ms is None:
        return None
    x = _time_scale(view, start_ms, paper)
    most = max((stage["share"] for stage in view.evaluation.get("ramp", [])), default=1.0)
    y = paper.y(0, 100 * most * 1.1)
    points = [(x(plan.created_ms - start_ms), y(100 * plan.share)) for plan in view.plans]
    end = x.clamped(_end_ms(view) - start_ms)
    shares = sorted({stage["share"] for stage in view.evaluation.get("ramp", [])} | {0.0})
    return Plot(
        paper=paper,
        x_ticks=time_ticks(x, paper.ticks),
        y_ticks=[Tick(y(100 * share), share_text(share)) for share in _spread(shares, y)],
        lines=[Line("share", stairs(points, end), (end, points[-1][1]))],
        bands=[
            Line("share-area", f"{stairs(points, end)}L{end:g} {paper.y_end}L{points[0][0]:g} {paper.y_end}Z")
        ],
    )


def _spread(shares: Sequence[float], y: Scale) -> list[float]:
    """Those shares whose labels do not touch: a ramp's first steps lie close together."""
    kept: list[float] = []
    for share in reversed(shares):
        if not kept or abs(y(100 * share) - y(100 * kept[-1])) >= 16:
            kept.append(share)
    return kept


def _band(lows: Sequence[tuple[float, float]], highs: Sequence[tuple[float, float]]) -> str:
    """The area between two curves; of a single look a bar, wide enough to be seen."""
    if len(lows) == 1:
        (x, low), (_, high) = lows[0], highs[0]
        lows, highs = [(x - 4, low), (x + 4, low)], [(x - 4, high), (x + 4, high)]
    return path([*highs, *reversed(lows)]) + "Z"


def _labelled(paper: Paper, *guides: Guide) -> list[Guide]:
    """Labels beside the drawing on their lines, or in it above and below; from the top, never on each other."""
    placed: list[Guide] = []
    for guide in sorted(guides, key=lambda guide: guide.y):
        at = guide.y + 4 if paper.labels_beside else guide.y - 6
        above = placed[-1] if placed else None
        if above is not None and above.label and at < above.label_y + 15:
            at = above.label_y + 15 if paper.labels_beside else guide.y + 14
        placed.append(replace(guide, label_y=at))
    return placed


def _time_scale(view: ReleaseView, start_ms: int, paper: Paper) -> Scale:
    return paper.x(0, max(_end_ms(view) - start_ms, 1))


def _end_ms(view: ReleaseView) -> int:
    """Where the plots end: the last thing that is known."""
    known = [look.at_ms for look in view.looks] + [plan.created_ms for plan in view.plans]
    ended = view.verdict.at_ms if view.verdict is not None else 0
    look_ms = int(view.evaluation.get("look_every_ms", 0))
    return max([*known, ended, (view.opened_ms or 0) + look_ms])


def _stages(view: ReleaseView, x: Scale, start_ms: int, paper: Paper) -> list[Tick]:
    """Where each share began; main alone counts as none."""
    found = []
    for before, plan in zip([None, *view.plans], view.plans, strict=False):
        if before is None or before.share != plan.share:
            found.append(Tick(x(plan.created_ms - start_ms), share_text(plan.share)))
    return _apart(found, paper)


def _apart(stages: Sequence[Tick], paper: Paper) -> list[Tick]:
    """Of labels that would lie on each other the later stays, and the earlier line goes without."""
    shown: list[Tick] = []
    free_until = math.inf
    for stage in reversed(stages):
        at_end = not paper.labels_beside and stage.at > paper.x_end - STAGE_LABEL
        left = stage.at - STAGE_LABEL if at_end else stage.at
        fits = left + STAGE_LABEL <= free_until
        shown.insert(0, stage if fits else replace(stage, label=""))
        free_until = left if fits else free_until
    return shown


def _estimate_range(results: Sequence[Result], margin: float) -> tuple[float, float]:
    """What the axis shows: all of the later half; the first wild intervals run off the paper."""
    later = results[len(results) // 2 :]
    lows = [_change(result["low"]) for result in later]
    highs = [_change(result["high"]) for result in later]
    low = min(2 * margin, max(min(lows), -90.0))
    high = max(-2 * margin, min(max(highs), 200.0))
    space = 0.08 * (high - low)
    return low - space, high + space


def _log10(view: ReleaseView, name: str) -> list[tuple[int, float]]:
    return [
        (look.at_ms, entry["log_e"] / math.log(10))
        for look in view.looks
        for entry in look.result["evidence"]
        if entry["name"] == name
    ]


def _thresholds(view: ReleaseView) -> dict[str, float]:
    return {
        entry["name"]: entry["log_threshold"] / math.log(10)
        for entry in view.looks[-1].result["evidence"]
        if entry.get("log_threshold") is not None
    }


def _at(what: str, threshold: float) -> str:
    return f"{what} at {10**threshold:,.0f}"


def _change(theta: float) -> float:
    return 100 * math.expm1(min(theta, 5.0))
