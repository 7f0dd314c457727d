"""What an operator may ask of a release over HTTP: a row of its story that the release's next tick obeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from werkzeug.exceptions import BadRequest, Conflict

from core.clock import Clock
from storage import releases as store
from storage.database import Database
from storage.releases import ReleaseEvent, ReleaseRow

ASKED: Final = "_asked"  # a kind of event ends so; `deploy` knows it too
ANSWERED: Final = ("ask_done", "ask_refused")  # one for each ask, in their order
DONE: Final = ANSWERED[0]
MAX_REASON: Final = 500
UNSAID: Final = "asked for on the control plane"

_BEFORE_TRAFFIC: Final = ("abort",)
POSSIBLE: Final = {
    "starting": _BEFORE_TRAFFIC,
    "smoke": _BEFORE_TRAFFIC,
    "running": ("pause", "abort", "promote"),
    "paused": ("resume", "abort", "promote"),
    "asking": ("abort", "promote"),
    "promoting": _BEFORE_TRAFFIC,
}
ASKS: Final = ("abort", "pause", "resume", "promote")


@dataclass(frozen=True, slots=True)
class Ask:
    release_id: str
    what: str
    reason: str


def possible(row: ReleaseRow) -> tuple[str, ...]:
    """What can be asked of a release as it stands."""
    return POSSIBLE.get(row.state, ()) if row.closed_ms is None else ()


def waiting(events: Sequence[ReleaseEvent]) -> list[ReleaseEvent]:
    """The asks that no tick has answered yet."""
    asks = [event for event in events if event.kind.endswith(ASKED)]
    return asks[sum(event.kind in ANSWERED for event in events) :]


def write(database: Database, clock: Clock, ask: Ask) -> None:
    """Add an ask to the story of its release.

    Raises:
        NotFoundError: no such release. Conflict: it cannot be asked of it as it stands. BadRequest: a reason
            that is missing, too long or no text.
    """
    reason = ask.reason.strip()
    if len(reason) > MAX_REASON or "\0" in reason:
        raise BadRequest(f"a reason has at most {MAX_REASON} characters")
    if ask.what == "promote" and not reason:
        raise BadRequest("a promotion without evidence needs a reason: it is kept with the release")
    with database.begin() as connection:
        row = store.get_release(connection, ask.release_id)
        if row.closed_ms is not None:
            raise Conflict(f"release {ask.release_id} is over ({row.state}): nothing to {ask.what}")
        if ask.what not in possible(row):
            raise Conflict(f"release {ask.release_id} is {row.state.replace('_', ' ')}: cannot {ask.what}")
        store.append_event(connection, ask.release_id, clock.now_ms(), ask.what + ASKED, reason or UNSAID)
