"""What the templates show, made from what was read: no template computes anything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from core.clock import SECOND, format_ms
from load_balancer.control import asks, plots, story, tables
from load_balancer.control.reading import ReleaseView, summary
from load_balancer.control.words import (
    badge,
    clock_time,
    date_time,
    day,
    duration,
    share,
    times,
)
from storage.releases import ReleaseEvent, ReleaseRow, VerdictRow


def release_page(view: ReleaseView, now_ms: int) -> dict[str, Any]:
    """Everything on the page of one release."""
    row = view.row
    return {
        "row": row,
        "badge": badge(row.state, view.kind),
        "live": view.is_open,
        "title": title(row, view.kind),
        "headline": story.headline(view),
        "why": story.why(view),
        "estimate": story.estimate(view),
        "next": story.next_steps(view, now_ms),
        "actions": asks.possible(row),
        "waiting": [f"{ask.kind.removesuffix(asks.ASKED)}: {ask.text}" for ask in asks.waiting(view.events)]
        if view.is_open
        else [],
        "facts": tables.facts(view, now_ms),
        "split": split(view),
        "figures": figures(view),
        "stages": tables.stages(view),
        "safety": tables.safety(view),
        "days": days(story.told(view.events)),
        "started": date_time(row.started_ms),
        "plan": tables.plan_rows(view),
    }


def title(row: ReleaseRow, kind: str) -> str:
    """`v2 against v1`."""
    if kind == "install" or not row.base_version:
        return row.version
    return f"{row.version} {'after' if kind == 'rollback' else 'against'} {row.base_version}"


def list_entry(row: ReleaseRow, verdict: VerdictRow | None) -> dict[str, Any]:
    """One release in the list."""
    kind = str(row.plan.get("kind", "canary"))
    return {
        "row": row,
        "title": title(row, kind),
        "badge": badge(row.state, kind),
        "headline": story.headline(ReleaseView(row, verdict)),
        "why": verdict.reason if verdict is not None else row.reason,
        "started": date_time(row.started_ms),
        "lasted": _lasted(row),
    }


def days(events: Sequence[ReleaseEvent]) -> list[tuple[str, list[dict[str, str]]]]:
    """The story day by day: a release lasts for days, and a time of day alone would say nothing."""
    return [
        (
            name,
            [
                {"at": clock_time(e.at_ms), "iso": format_ms(e.at_ms), "text": e.text, "kind": e.kind}
                for e in lines
            ],
        )
        for name, lines in groupby(events, lambda event: day(event.at_ms))
    ]


def split(view: ReleaseView) -> float | None:
    """The canary's part of the audience now, 0 to 1; None where nothing is compared."""
    plan = view.current
    if not view.is_open or plan is None or plan.release_id != view.row.release_id:
        return None
    return plan.share


def figures(view: ReleaseView) -> list[dict[str, Any]]:
    """The plots that have something to show, each on both papers, with caption and legend."""
    row = view.row
    margin = share(view.evaluation.get("margin", 0.03))
    made: list[dict[str, Any]] = [
        {
            "id": "estimate",
            "title": f"How much more is watched with {row.version}",
            "caption": story.estimate(view)
            + " The band is a confidence sequence: it holds at every look, however often one looks.",
            "plots": [plots.estimate_plot(view, paper) for paper in plots.PAPERS],
            "legend": [],
        },
        {
            "id": "evidence",
            "title": "Evidence against the thresholds",
            "caption": "An e-value says how many times better the data fit the claim than its opposite. Beyond its "
            f"threshold it decides. The margin is {margin}.",
            "plots": [plots.evidence_plot(view, paper) for paper in plots.PAPERS],
            "legend": _legend(view),
        },
        {
            "id": "share",
            "title": f"Share of the audience with {row.version}",
            "caption": "The share only grows while it lasts: nobody is moved back and forth.",
            "plots": [plots.share_plot(view, paper) for paper in plots.SHORT_PAPERS],
            "legend": [],
        },
    ]
    return [figure for figure in made if figure["plots"][0] is not None]


def as_json(view: ReleaseView, now_ms: int) -> dict[str, Any]:
    """The release for programs: rows as they are stored, and the sentences of the page."""
    row = view.row
    return {
        **summary(row, view.verdict),
        "headline": story.headline(view),
        "next": story.next_steps(view, now_ms),
        "exposures": dict(view.counts.assigned),
        "fallbacks": dict(view.counts.helped),
        "plan": row.plan,
        "plans": [
            {"epoch": p.epoch, "at_ms": p.created_ms, "share": p.share, "stage": p.stage} for p in view.plans
        ],
        "looks": [look.result for look in view.looks],
        "events": [{"at_ms": e.at_ms, "kind": e.kind, "text": e.text} for e in story.told(view.events)],
    }


def _legend(view: ReleaseView) -> list[tuple[str, str, str]]:
    """Class, claim and latest e-value of each process."""
    last = view.last
    if last is None:
        return []
    values = {entry["name"]: entry["log_e"] for entry in last["evidence"]}
    margin = share(view.evaluation.get("margin", 0.03))
    return [
        (kind, what.format(margin=margin), times(values[name]))
        for name, kind, what in plots.PROCESSES
        if name in values
    ]


def _lasted(row: ReleaseRow) -> str:
    if row.closed_ms is None or row.closed_ms - row.started_ms < SECOND:
        return ""
    return duration(row.closed_ms - row.started_ms)
