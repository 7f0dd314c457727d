"""The tables of a release page: facts, counts by stage, safety, and what was fixed beforehand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from load_balancer.control.reading import ReleaseView
from load_balancer.control.words import count, duration, percent, plural, ratio, share, times

GUARDRAILS: Final = {
    "error": "Errors",
    "fallback": "Timeouts and fallbacks",
    "short": "Empty or short lists",
    "p95": "Slower than main's p95",
    "p99": "Slower than main's p99",
    "reserve": "Reserve",
}


def facts(view: ReleaseView, now_ms: int) -> list[tuple[str, str, str]]:
    """Name, number, and a small word beneath."""
    row, last = view.row, view.last
    if view.kind != "canary" or view.opened_ms is None:
        return []
    ended_ms = row.closed_ms or now_ms
    found = [
        (f"requests to {row.version}", count(view.counts.assigned["canary"]), _matured(last, "canary")),
        (f"requests to {row.base_version}", count(view.counts.assigned["main"]), _matured(last, "main")),
    ]
    if last is not None:
        viewers = f"{count(last['main_viewers'])} with {row.base_version}"
        found.append((f"viewers with {row.version}", count(last["canary_viewers"]), viewers))
    played = share(view.plans[-1].share) if view.plans else "none"
    found.append(("of the audience", played, _stage_of(view)))
    found.append(("on stage", duration(ended_ms - view.opened_ms), plural(len(view.looks), "look")))
    return found


def stages(view: ReleaseView) -> list[dict[str, Any]]:
    """Counts by stage, and their sum."""
    last = view.last
    if last is None:
        return []
    rows = [
        {
            "name": f"Stage\N{NO-BREAK SPACE}{stage['stage']}, {share(stage['share'])}",
            **_arms(stage),
            "theta": ratio(stage["theta"]) if stage["theta"] is not None else "–",
            "weight": percent(stage["weight"]),
        }
        for stage in last["stages"]
        if stage["canary"]["requests"] or stage["main"]["requests"]
    ]
    theta = ratio(last["theta"]) if last["theta"] is not None else "–"
    return [*rows, {"name": "All", **_arms(last), "theta": theta, "weight": ""}] if rows else []


def safety(view: ReleaseView) -> list[dict[str, Any]]:
    """Guardrails and sample ratio: what was counted of how many, and how far along to the threshold."""
    last = view.last
    if last is None:
        return []
    counts = {entry["name"]: entry for entry in last["guardrails"]}
    rows = []
    for entry in last["evidence"]:
        name = entry["name"].removeprefix("guardrail_")
        if entry["name"].startswith("guardrail_") and counts.get(name, {}).get("canary_exposures"):
            seen = counts[name]
            rows.append(
                {
                    "name": GUARDRAILS.get(name, name),
                    "canary": _of(seen["canary_events"], seen["canary_exposures"]),
                    "main": _of(seen["main_events"], seen["main_exposures"]),
                    **_meter(entry),
                }
            )
        elif entry["name"] == "sample_ratio":
            rows.append(
                {
                    "name": "Viewers assigned as planned",
                    **_assigned(last["sample_ratio"]),
                    **_meter(entry),
                }
            )
    return rows


def _assigned(cells: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Viewers counted at their first request in a stage, against what the shares let expect."""
    canary, viewers = (sum(cell[name] for cell in cells) for name in ("canary_viewers", "viewers"))
    expected = sum(cell["expected_share"] * cell["viewers"] for cell in cells)
    return {
        "canary": (count(canary), f"{count(expected)} expected"),
        "main": (count(viewers - canary), f"{count(viewers - expected)} expected"),
    }


def plan_rows(view: ReleaseView) -> list[tuple[str, str]]:
    """What was fixed before the first viewer."""
    plan = view.evaluation
    if view.kind != "canary" or not plan:
        return []
    ramp = ", ".join(share(stage["share"]) for stage in plan.get("ramp", []))
    return [
        ("Ramp", ramp),
        ("A look every", duration(plan["look_every_ms"])),
        ("A request matures after", duration(plan["window_ms"] + plan["ingest_delay_ms"])),
        ("No promotion before", duration(plan["min_duration_ms"])),
        ("At the latest after", duration(plan["max_duration_ms"])),
        ("Margin", share(plan["margin"])),
        ("Promote at", f"{1 / plan['alpha_non_inferiority']:,.0f}"),
        ("Roll back at", f"{1 / plan['alpha_harm']:,.0f}"),
        ("Bundle", view.row.bundle_digest),
        ("Release", view.row.release_id),
    ]


def _matured(last: Mapping[str, Any] | None, arm: str) -> str:
    return f"{count(last[arm]['requests'])} matured" if last is not None else "none matured"


def _stage_of(view: ReleaseView) -> str:
    ramp = view.evaluation.get("ramp", [])
    return f"stage {view.row.stage} of {len(ramp)}"


def _arms(counts: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for arm in ("canary", "main"):
        requests, successes = counts[arm]["requests"], counts[arm]["successes"]
        found[f"{arm}_requests"] = count(requests)
        found[f"{arm}_rate"] = percent(successes / requests, 1) if requests else "–"
    return found


def _of(events: int, exposures: int) -> tuple[str, str]:
    return count(events), f"in {count(exposures)}"


def _meter(entry: Mapping[str, Any]) -> dict[str, Any]:
    """How far a process is on the logarithmic way from 1 to its threshold."""
    threshold = entry.get("log_threshold") or 1.0
    part = min(max(entry["log_e"] / threshold, 0.0), 1.0)
    return {
        "e": times(entry["log_e"]),
        "threshold": f"{math.exp(threshold):,.0f}",
        "part": round(100 * part),
        "tone": "bad" if part >= 1 else "warn" if part > 0.55 else "good",
    }
