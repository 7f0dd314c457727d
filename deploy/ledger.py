"""Where transitions become rows: one transaction each, won or lost by compare-and-swap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.clock import Clock
from core.errors import RefusedError
from core.traffic import TrafficPlan, Upstream
from deploy import plans
from deploy.evaluation import ReleasePlan
from deploy.states import (
    GiveVerdict,
    Happening,
    KeepLook,
    Note,
    Pace,
    PublishCanary,
    PublishMain,
    PublishMainOnly,
    Write,
    transition,
)
from storage import releases as store
from storage.database import Database
from storage.releases import ReleaseRow, VerdictRow

Connection = Any  # sqlalchemy's; the type is storage's own affair


class Ledger:
    """Applies what happened to a release.

    `on_step` is told each state that has just been stored (metrics, logs; a test ends the process there).
    """

    def __init__(
        self, database: Database, clock: Clock, drain_ms: int, on_step: Callable[[str], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._drain_ms = drain_ms
        self._on_step = on_step

    def create(self, row: ReleaseRow, *notes: Note) -> ReleaseRow:
        """Store a new release with the first lines of its story.

        Raises:
            RefusedError: another release is open.
        """
        with self._database.begin() as connection:
            created = store.create_release(connection, row)
            for note in notes:
                self._write(connection, created, note, row.started_ms)
        self._on_step(created.state)
        return created

    def apply(self, row: ReleaseRow, happening: Happening) -> ReleaseRow:
        """Store what follows: row, traffic plan, look, verdict and story together, or none of them.

        Raises:
            ConflictError: somebody else changed the release or the traffic plan first.
            RefusedError: it cannot happen in this state.
        """
        now_ms = self._clock.now_ms()
        result = transition(row, self._pace(row), happening, now_ms)
        with self._database.begin() as connection:
            stored = store.update_release(connection, result.row, row.revision)
            for write in result.writes:
                self._write(connection, stored, write, now_ms)
        self._on_step(stored.state)
        return stored

    def get(self, release_id: str) -> ReleaseRow:
        with self._database.read() as connection:
            return store.get_release(connection, release_id)

    def note(self, row: ReleaseRow, note: Note) -> None:
        """A line of the story that changes nothing."""
        with self._database.begin() as connection:
            self._write(connection, row, note, self._clock.now_ms())

    def refuse(self, row: ReleaseRow, note: Note) -> None:
        """Answer an ask that cannot be obeyed, once: the release stands as it was, one revision on.

        Raises:
            ConflictError: somebody else changed the release, or answered.
        """
        with self._database.begin() as connection:
            stored = store.update_release(connection, row, row.revision)
            self._write(connection, stored, note, self._clock.now_ms())

    def move(self, before: Upstream, after: Upstream) -> None:
        """Put a plan in force in which an instance has another URL, unless it is not in the plan anyway."""
        with self._database.begin() as connection:
            current = store.current_plan(connection)
            if current is not None and before in current.upstreams:
                store.publish_plan(
                    connection, plans.moved(current, before, after, now_ms=self._clock.now_ms())
                )

    def _pace(self, row: ReleaseRow) -> Pace:
        plan = ReleasePlan.from_json(row.plan["evaluation"])
        return Pace(
            shares=plan.shares,
            look_every_ms=plan.look_every_ms,
            on_inconclusive=plan.on_inconclusive,
            drain_ms=self._drain_ms,
        )

    def _write(self, connection: Connection, row: ReleaseRow, write: Write, now_ms: int) -> None:
        match write:
            case Note(kind, text):
                store.append_event(connection, row.release_id, now_ms, kind, text)
            case KeepLook(result, known):
                kept, noted = result.to_json(), None if known is None else known.to_json()
                store.append_evaluation(connection, row.release_id, result.look, result.at_ms, kept, noted)
            case GiveVerdict(verdict, why, evidence):
                given = VerdictRow(row.release_id, verdict, now_ms, why, dict(evidence))
                store.record_verdict(connection, given)
            case PublishCanary() | PublishMainOnly() | PublishMain():
                plan = _next_plan(connection, row, write, now_ms)
                if plan is not None:
                    store.publish_plan(connection, plan)


def _next_plan(
    connection: Connection, row: ReleaseRow, write: PublishCanary | PublishMainOnly | PublishMain, now_ms: int
) -> TrafficPlan | None:
    current = store.current_plan(connection)
    if isinstance(write, PublishMain):
        return plans.with_main(current, write.main, fallback=write.fallback, now_ms=now_ms, reason=write.why)
    if current is None:  # an installation that failed: there is nobody to play for
        return None
    if isinstance(write, PublishMainOnly):
        make = plans.alone_for_now if write.for_now else plans.main_only
        return make(current, now_ms=now_ms, reason=write.why)
    return plans.with_canary(
        current,
        write.canary or _played_before(connection, row),
        share=write.share,
        salt=row.salt,
        stage=write.stage,
        release_id=row.release_id,
        now_ms=now_ms,
        reason=f"{row.version}: stage {write.stage}",
    )


def _played_before(connection: Connection, row: ReleaseRow) -> Upstream:
    for plan in reversed(store.plans_of(connection, row.release_id)):
        if plan.canary is not None:
            return plan.canary
    raise RefusedError(f"release {row.release_id} has never had a canary in a traffic plan")
