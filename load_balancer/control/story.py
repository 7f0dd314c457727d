"""A release in sentences: how it stands, why, and what happens next. Pure; also what `explain` prints."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from load_balancer.control.asks import ASKED, DONE
from load_balancer.control.reading import ReleaseView
from load_balancer.control.words import change, count, duration, moment, plural, share, times
from storage.releases import ReleaseEvent

# How a release stands, by state; other kinds than a canary's, and a blind one, have their own words.
_HEADLINES: Final = {
    "starting": "{version} is being started beside {main}. No viewer sees it yet.",
    "smoke": "{version} is being started beside {main}. No viewer sees it yet.",
    "running": "{version} plays for {share} of the audience, {main} for the rest.",
    "paused": "{version} is held at {share} of the audience by an operator.",
    "asking": "The evidence did not decide in time. Somebody has to; until then {main} plays alone.",
    "promoting": "{version} is taking over the main role.",
    "shifted": "{version} is taking over the main role.",
    "promoted": "{version} has earned its place and is main.",
    "rolled_back": "{version} has left the stage; {main} plays on.",
    "aborted": "The release of {version} was aborted; {main} plays on.",
    "inconclusive": "No verdict on {version}; {main} plays on.",
    "invalid": "The comparison was not valid, so {version} was not judged; {main} plays on.",
    "refused": "{version} did not pass the offline gate and met no viewer.",
    "blind": "No data are coming in, so everybody gets {main} for now.",
    "install promoting": "{version} is being installed as the first main.",
    "install shifted": "{version} is being installed as the first main.",
    "install promoted": "{version} was installed as the first main.",
    "rollback promoting": "{version} is coming back as main, after {main}.",
    "rollback shifted": "{version} is coming back as main, after {main}.",
    "rollback promoted": "{version} is main again, after {main}.",
}
_NEXT: Final = {
    "starting": "Once it answers its smoke requests well, the first viewers are assigned to it.",
    "smoke": "Once it answers its smoke requests well, the first viewers are assigned to it.",
    "asking": "`understudy release promote --force --reason ...` or `understudy release abort` ends it.",
    "promoting": "A new main is started beside the old one; then all viewers move over at once.",
    "shifted": "{main} is stopped once its last requests are answered.",
}
_EVALUATED: Final = ("running", "paused")
_WITHDRAWN: Final = "{version} is being withdrawn; everybody gets {main}."


def headline(view: ReleaseView) -> str:
    """One sentence that says how it stands."""
    row = view.row
    blind = row.state in _EVALUATED and view.current is not None and view.current.canary is None
    state = "blind" if blind else row.state
    template = _HEADLINES.get(f"{view.kind} {state}") or _HEADLINES.get(state, _WITHDRAWN)
    return template.format(version=row.version, main=row.base_version or "nobody", share=_share(view))


def told(events: list[ReleaseEvent]) -> list[ReleaseEvent]:
    """The lines that people read, asks in words; that an ask was done is seen from what was done."""
    return [
        replace(event, text=f"Asked on the page to {event.kind.removesuffix(ASKED)}: {event.text}")
        if event.kind.endswith(ASKED)
        else event
        for event in events
        if event.kind != DONE
    ]


def why(view: ReleaseView) -> str:
    """Why it ended, or was started, in the words of the verdict, the gate or the operator."""
    if view.verdict is not None and view.verdict.reason:
        return view.verdict.reason
    return view.row.reason


def estimate(view: ReleaseView) -> str:
    """What the viewers' behaviour says so far."""
    last = view.last
    if last is None:
        return ""
    version, main = view.row.version, view.row.base_version
    if last["theta"] is None:
        return (
            f"{plural(last['canary']['requests'], 'request')} of {version} have matured; "
            "that is too little for an estimate."
        )
    return (
        f"Viewers of {version} watch {change(last['theta'])} than those of {main}; "
        f"anything from {change(last['low'])} to {change(last['high'])} agrees with what was seen."
    )


def evidence(view: ReleaseView) -> list[str]:
    """The main processes against their thresholds."""
    last = view.last
    if last is None:
        return []
    by_name = {entry["name"]: entry for entry in last["evidence"]}
    margin = share(view.evaluation.get("margin", 0.03))
    said = {
        "non_inferiority": f"that it is at most {margin} worse",
        "harm_ratio": "that it is worse",
        "harm_first_success": "that its viewers find nothing to watch",
    }
    return [
        f"Evidence {what}: {times(by_name[name]['log_e'])}{_against(by_name[name])}."
        for name, what in said.items()
        if name in by_name
    ]


def next_steps(view: ReleaseView, now_ms: int) -> list[str]:
    """What happens next, and when at the latest."""
    if view.row.closed_ms is not None:
        return []
    if view.row.state in _EVALUATED:
        return _while_running(view, now_ms)
    template = _NEXT.get(view.row.state, "The canary is stopped once its last requests are answered.")
    return [template.format(main=view.row.base_version or "Nothing")]


def sentences(view: ReleaseView, now_ms: int) -> list[str]:
    """The whole release for somebody who reads nothing else."""
    told = [headline(view), why(view), estimate(view), *evidence(view), _exposed(view)]
    return [sentence for sentence in (*told, *next_steps(view, now_ms)) if sentence]


def _while_running(view: ReleaseView, now_ms: int) -> list[str]:
    plan, row = view.evaluation, view.row
    opened_ms = view.opened_ms or row.started_ms
    told = []
    if row.next_look_ms is not None:
        told.append(_next_look(row.next_look_ms, now_ms))
    told.append(
        "Ramp and promotion are held; harm still rolls back." if row.state == "paused" else _ramp(view)
    )
    promote_ms = opened_ms + int(plan.get("min_duration_ms", 0))
    if now_ms < promote_ms:
        told.append(f"No promotion before {moment(promote_ms, now_ms)} (in {duration(promote_ms - now_ms)}).")
    if "max_duration_ms" in plan:
        end_ms = opened_ms + int(plan["max_duration_ms"])
        then = {
            "ask": "a person is asked",
            "extend": "it goes on, unless harm shows",
            "roll_back": f"{row.base_version} stays",
        }.get(str(plan.get("on_inconclusive")), "it ends")
        told.append(
            f"A verdict at {moment(end_ms, now_ms)} at the latest (in {duration(end_ms - now_ms)}); "
            f"if the evidence has not decided by then, {then}."
        )
    return [sentence for sentence in told if sentence]


def _next_look(next_ms: int, now_ms: int) -> str:
    if next_ms <= now_ms:
        return f"The look of {moment(next_ms, now_ms)} waits until its data are complete."
    return f"The next look is at {moment(next_ms, now_ms)} (in {duration(next_ms - now_ms)})."


def _ramp(view: ReleaseView) -> str:
    ramp: list[dict[str, Any]] = view.evaluation.get("ramp", [])
    stage = view.row.stage
    if not 0 < stage < len(ramp):
        return ""
    needed, following = int(ramp[stage - 1]["canary_requests"]), share(ramp[stage]["share"])
    matured = view.last["canary"]["requests"] if view.last else 0
    if matured < needed:
        return (
            f"Next stage, {following} of the audience: after {count(needed)} matured canary requests "
            f"({count(matured)} so far)."
        )
    return f"Next stage, {following} of the audience: as soon as this one has lasted long enough and shows no harm."


def _exposed(view: ReleaseView) -> str:
    assigned, helped = view.counts.assigned, view.counts.helped
    if not any(assigned.values()):
        return ""
    told = (
        f"{plural(assigned['canary'], 'request')} went to {view.row.version} "
        f"and {count(assigned['main'])} to {view.row.base_version}"
    )
    if helped["canary"]:
        told += f"; {plural(helped['canary'], 'time')} another had to answer for {view.row.version}"
    return told + "."


def _share(view: ReleaseView) -> str:
    if view.current is not None and view.current.release_id == view.row.release_id:
        return share(view.current.share)
    ramp = view.evaluation.get("ramp", [])
    return share(ramp[view.row.stage - 1]["share"]) if 0 < view.row.stage <= len(ramp) else "none"


def _against(entry: dict[str, Any]) -> str:
    if entry.get("log_threshold") is None:
        return ""
    return f" (it decides at {math.exp(entry['log_threshold']):,.0f})"
