"""The state machine of a release: pure. A row and what happened give the next row and what to write with it.

```
starting ─▶ smoke ─▶ running ⇄ paused ─▶ promoting ─▶ shifted ─▶ promoted
    │         │        ├────────┤ asking ──▶│
    └─────────┴────────┴────────┴───┴───────┘
                       ▼
    rolling_back ─▶ rolled_back      ending ─▶ inconclusive
    aborting     ─▶ aborted          invalidating ─▶ invalid          (refused: never began)
```

A state names the work that is to be done while it lasts. It is stored before the work begins and the work
may be repeated, so whoever is killed anywhere leaves a row that says where to go on. What changes traffic
(`PublishCanary`, `PublishMainOnly`, `PublishMain`) is a row too and is written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from core.errors import RefusedError
from core.traffic import Upstream
from deploy.evaluation import LookResult
from deploy.rows import Known
from storage.releases import ReleaseRow

Verdict = Literal["promote", "roll_back", "inconclusive", "invalid"]

# A state in which the canary is taken away -> the state it closes in.
WITHDRAWING: Final[Mapping[str, str]] = {
    "rolling_back": "rolled_back",
    "aborting": "aborted",
    "ending": "inconclusive",
    "invalidating": "invalid",
}
EVALUATED: Final = frozenset({"running", "paused"})
# Nothing happens by itself before the next look or an operator's word.
WAITING: Final = EVALUATED | {"asking"}
BEFORE_SHIFT: Final = WAITING | {"starting", "smoke", "promoting"}
OPEN: Final = BEFORE_SHIFT | {"shifted"} | set(WITHDRAWING)
CLOSED: Final = frozenset({"promoted", "refused"}) | set(WITHDRAWING.values())

_VERDICT_STATES: Final[Mapping[Verdict, str]] = {
    "promote": "promoting",
    "roll_back": "rolling_back",
    "inconclusive": "ending",
    "invalid": "invalidating",
}
MAX_START_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """What the machine needs to know of a release plan and of the settings."""

    shares: tuple[float, ...]
    look_every_ms: int
    on_inconclusive: str
    drain_ms: int
    retry_ms: int = 5_000


# --- what happened


@dataclass(frozen=True, slots=True)
class CanaryStarted:
    pass


@dataclass(frozen=True, slots=True)
class SmokePassed:
    canary: Upstream
    requests: int


@dataclass(frozen=True, slots=True)
class StartFailed:
    """Canary or new main did not start, or failed its smoke requests, for the `attempt`-th time."""

    why: str
    attempt: int = MAX_START_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Looked:
    """One look of the online evaluation.

    `latest` is false while missed looks are replayed: traffic now cannot follow what was right then. `alone`:
    the plan in force gives everybody main, because an earlier look was blind. `known` is kept with the look.
    """

    result: LookResult
    latest: bool = True
    alone: bool = False
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class MainStarted:
    main: Upstream
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drained:
    pass


@dataclass(frozen=True, slots=True)
class Asked:
    """An operator, or the control plane for one."""

    what: Literal["abort", "roll_back", "promote", "pause", "resume"]
    why: str
    on_page: bool = False  # then it is noted, in the same transaction, that this ask is done


Happening = CanaryStarted | SmokePassed | StartFailed | Looked | MainStarted | Drained | Asked


# --- what is written, in one transaction with the row


@dataclass(frozen=True, slots=True)
class PublishCanary:
    """`canary` None: where it has played in this release before."""

    stage: int
    share: float
    canary: Upstream | None = None


@dataclass(frozen=True, slots=True)
class PublishMainOnly:
    """`for_now`: the release goes on, and its canary may come back."""

    why: str
    for_now: bool = False


@dataclass(frozen=True, slots=True)
class PublishMain:
    main: Upstream
    fallback: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class KeepLook:
    result: LookResult
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class GiveVerdict:
    verdict: Verdict
    why: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the release's story."""

    kind: str
    text: str


Write = PublishCanary | PublishMainOnly | PublishMain | KeepLook | GiveVerdict | Note


@dataclass(frozen=True, slots=True)
class Transition:
    row: ReleaseRow
    writes: tuple[Write, ...]


def transition(row: ReleaseRow, pace: Pace, happening: Happening, now_ms: int) -> Transition:
    """What follows in this state. The row's revision is left to the store's compare-and-swap.

    Raises:
        RefusedError: it cannot happen in this state; nothing changes.
    """
    rule = _RULES[type(happening)]
    made = rule(replace(row, updated_ms=now_ms), pace, happening, now_ms)
    if isinstance(happening, Asked) and happening.on_page:
        return replace(made, writes=(*made.writes, Note("ask_done", f"Done as asked: {happening.what}")))
    return made


def _canary_started(row: ReleaseRow, pace: Pace, _: CanaryStarted, now_ms: int) -> Transition:
    _require(row, {"starting"}, "start a canary")
    note = Note("canary_started", f"{row.version} runs beside {row.base_version}, without viewers yet")
    return Transition(replace(row, state="smoke", next_look_ms=now_ms), (note,))


def _smoke_passed(row: ReleaseRow, pace: Pace, happening: SmokePassed, now_ms: int) -> Transition:
    _require(row, {"smoke"}, "open traffic to a canary")
    share = pace.shares[0]
    opened = replace(row, state="running", stage=1, next_look_ms=now_ms + pace.look_every_ms)
    return Transition(
        opened,
        (
            PublishCanary(1, share, happening.canary),
            Note("smoke_passed", f"{happening.requests} smoke requests were answered well"),
            Note("stage", f"{row.version} plays for {_percent(share)} of the audience"),
        ),
    )


def _start_failed(row: ReleaseRow, pace: Pace, happening: StartFailed, now_ms: int) -> Transition:
    _require(row, {"starting", "smoke", "promoting"}, "fail to start")
    if row.state == "promoting" and happening.attempt < MAX_START_ATTEMPTS:
        later = replace(row, next_look_ms=now_ms + pace.retry_ms)
        return Transition(later, (Note("start_failed", f"{happening.why}; it is tried again"),))
    note = Note("start_failed", happening.why)
    return _withdraw(row, pace, now_ms, "rolling_back", "roll_back", happening.why, {}, note)


def _looked(row: ReleaseRow, pace: Pace, happening: Looked, now_ms: int) -> Transition:
    _require(row, EVALUATED, "evaluate")
    result = happening.result
    kept = KeepLook(result, happening.known)
    row = replace(row, next_look_ms=result.at_ms + pace.look_every_ms)
    match result.decision:
        case "promote" if row.state == "running":
            return _decided(
                row, "promote", replace(row, state="promoting", next_look_ms=now_ms), kept, result
            )
        case "inconclusive" if pace.on_inconclusive == "extend":
            return Transition(row, (kept,))
        case "inconclusive" if pace.on_inconclusive == "ask":
            asking = _decided(
                row, "inconclusive", replace(row, state="asking", next_look_ms=None), kept, result
            )
            alone = PublishMainOnly(f"{row.version}: undecided, a person is asked", for_now=True)
            return Transition(asking.row, (*asking.writes, alone))
        case "roll_back" | "inconclusive" | "invalid" as verdict:
            why = " ".join(result.reasons)
            note = Note("verdict", f"{_VERDICT_WORDS[verdict]}: {why}")
            to = _VERDICT_STATES[verdict]
            return _withdraw(row, pace, now_ms, to, verdict, why, result.to_json(), kept, note)
        case _ if happening.latest:
            return _followed(row, pace, happening, kept)
        case _:
            return Transition(row, (kept,))


def _decided(
    row: ReleaseRow, verdict: Verdict, after: ReleaseRow, kept: KeepLook, result: LookResult
) -> Transition:
    why = " ".join(result.reasons)
    note = Note("verdict", f"{_VERDICT_WORDS[verdict]}: {why}")
    return Transition(after, (kept, GiveVerdict(verdict, why, result.to_json()), note))


def _followed(row: ReleaseRow, pace: Pace, happening: Looked, kept: KeepLook) -> Transition:
    """Traffic follows a look that decides nothing: main only while blind, back again, or the next stage."""
    result = happening.result
    why = " ".join(result.reasons)
    if result.main_only:
        note = Note("blind", f"Everybody gets {row.base_version} until data return. {why}".rstrip())
        writes = () if happening.alone else (PublishMainOnly("blind", for_now=True), note)
        return Transition(row, (kept, *writes))
    if happening.alone:
        share = pace.shares[row.stage - 1]
        note = Note("stage", f"Data are back: {row.version} plays for {_percent(share)} again")
        return Transition(row, (kept, PublishCanary(row.stage, share), note))
    # A look may still know only the stage before, while the first data of this one are under way.
    steps = result.decision == "step_ramp" and result.next_stage == row.stage + 1
    if steps and row.state == "running" and row.stage < len(pace.shares):
        share = pace.shares[row.stage]
        note = Note("stage", f"{row.version} plays for {_percent(share)} of the audience. {why}".rstrip())
        stepped = replace(row, stage=row.stage + 1)
        return Transition(stepped, (kept, PublishCanary(row.stage + 1, share), note))
    return Transition(row, (kept,))


def _main_started(row: ReleaseRow, pace: Pace, happening: MainStarted, now_ms: int) -> Transition:
    _require(row, {"promoting"}, "shift traffic to a new main")
    drain_ms = pace.drain_ms if row.base_version else 0
    shifted = replace(row, state="shifted", next_look_ms=now_ms + drain_ms)
    text = f"{row.version} is main for the whole audience"
    if row.base_version:
        text += f"; {row.base_version} finishes what it has begun"
    publish = PublishMain(happening.main, happening.fallback, f"{row.version} is main")
    return Transition(shifted, (publish, Note("shifted", text)))


def _drained(row: ReleaseRow, pace: Pace, _: Drained, now_ms: int) -> Transition:
    _require(row, {"shifted", *WITHDRAWING}, "stop what has drained")
    to = WITHDRAWING.get(row.state, "promoted")
    closed = replace(row, state=to, next_look_ms=None, closed_ms=now_ms)
    if row.state == "shifted":
        text = f"{row.base_version} is stopped" if row.base_version else f"{row.version} is installed"
    else:
        text = f"{row.version} is stopped; {row.base_version or 'nobody'} plays for everybody"
    return Transition(closed, (Note("closed", text),))


def _asked(row: ReleaseRow, pace: Pace, happening: Asked, now_ms: int) -> Transition:
    why = happening.why
    match happening.what:
        case "abort" | "roll_back" as what:
            _require(row, BEFORE_SHIFT, "abort")
            words, to = (
                ("Aborted", "aborting") if what == "abort" else ("Rolled back by hand", "rolling_back")
            )
            note = Note("aborted", f"{words}: {why}")
            return _withdraw(row, pace, now_ms, to, "roll_back", why, {"asked": what}, note)
        case "promote":
            _require(row, WAITING, "promote by force")
            verdict = GiveVerdict("promote", f"By force: {why}", {"asked": "promote"})
            forced = replace(row, state="promoting", forced=True, next_look_ms=now_ms)
            return Transition(
                forced, (verdict, Note("verdict", f"Promoted by force, not by evidence: {why}"))
            )
        case "pause":
            _require(row, {"running"}, "pause")
            return Transition(replace(row, state="paused"), (Note("paused", f"Paused: {why}"),))
        case "resume":
            _require(row, {"paused"}, "resume")
            return Transition(replace(row, state="running"), (Note("resumed", f"Resumed: {why}"),))


def _withdraw(
    row: ReleaseRow,
    pace: Pace,
    now_ms: int,
    to: str,
    verdict: Verdict,
    why: str,
    evidence: Mapping[str, Any],
    *writes: Write,
) -> Transition:
    """Main only comes first and at once; the canary is stopped when its last requests are over."""
    withdrawn = replace(row, state=to, next_look_ms=now_ms + pace.drain_ms)
    main_only = PublishMainOnly(f"{row.version} withdrawn: {why}"[:500])
    return Transition(withdrawn, (*writes, GiveVerdict(verdict, why, evidence), main_only))


def _require(row: ReleaseRow, states: set[str] | frozenset[str], what: str) -> None:
    if row.state not in states:
        raise RefusedError(f"release of {row.version} is {row.state.replace('_', ' ')}: cannot {what}")


def _percent(share: float) -> str:
    return f"{100 * share:g}%"


_VERDICT_WORDS: Final[Mapping[Verdict, str]] = {
    "promote": "Promote",
    "roll_back": "Roll back",
    "inconclusive": "Inconclusive",
    "invalid": "Invalid",
}
_RULES: Final[Mapping[type, Callable[[ReleaseRow, Pace, Any, int], Transition]]] = {
    CanaryStarted: _canary_started,
    SmokePassed: _smoke_passed,
    StartFailed: _start_failed,
    Looked: _looked,
    MainStarted: _main_started,
    Drained: _drained,
    Asked: _asked,
}
