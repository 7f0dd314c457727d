"""Does the work that a release's state names, and tells the ledger what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from core.clock import Clock
from core.errors import ConflictError, DependencyError
from core.traffic import Upstream
from deploy.evaluation import LookResult, ReleasePlan
from deploy.ledger import Ledger
from deploy.rows import Known
from deploy.runtime import Instance, Runtime
from deploy.smoke import SmokeError
from deploy.states import (
    WITHDRAWING,
    CanaryStarted,
    Drained,
    Happening,
    Looked,
    MainStarted,
    Note,
    SmokePassed,
    StartFailed,
)
from deploy.supervisor import Supervisor
from storage import releases as store
from storage.database import Database
from storage.releases import ReleaseRow

logger = logging.getLogger(__name__)

Fallback = Callable[[Path], tuple[str, ...]]
Smoke = Callable[[Instance], int]
Complete = Callable[[int], bool]


class Looking(Protocol):
    """What takes the looks: the evaluator, or a script in a test."""

    def look(
        self, release_id: str, plan: ReleasePlan, started_ms: int, at_ms: int, until_ms: int
    ) -> LookResult: ...

    def known(self) -> tuple[int, int]:
        """The last exposure and the last interaction read, by row."""
        ...

    def forget(self) -> None: ...


class Worker:
    """Every piece of work may be repeated: whoever is killed in it is followed by one who does it again.

    `complete` says whether everything sent up to a time is stored; `smoke` raises SmokeError; `fallback`
    reads the static trending list of a bundle.
    """

    def __init__(
        self,
        *,
        database: Database,
        runtime: Runtime,
        clock: Clock,
        ledger: Ledger,
        supervisor: Supervisor,
        evaluator: Looking,
        bundles: Path,
        smoke: Smoke,
        fallback: Fallback,
        complete: Complete,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._clock = clock
        self._ledger = ledger
        self._supervisor = supervisor
        self._evaluator = evaluator
        self._bundles = bundles
        self._smoke = smoke
        self._fallback = fallback
        self._complete = complete
        self._work: dict[str, Callable[[ReleaseRow], Happening | None]] = {
            "starting": self._start_canary,
            "smoke": self._smoke_canary,
            "running": self._look,
            "paused": self._look,
            "promoting": self._start_main,
            "asking": lambda _: None,
            **dict.fromkeys(("shifted", *WITHDRAWING), self._drain),
        }

    def drive(self, row: ReleaseRow) -> ReleaseRow:
        """Work until the release is closed, or until nothing is due; the row as it then stands."""
        while row.closed_ms is None and (row.next_look_ms or 0) <= self._clock.now_ms():
            try:
                happening = self._work[row.state](row)
                if happening is None:
                    return row
                row = self._ledger.apply(row, happening)
            except ConflictError:
                logger.info("release %s was changed by somebody else", row.release_id)
                self._evaluator.forget()
                row = self._ledger.get(row.release_id)
        return row

    def _start_canary(self, row: ReleaseRow) -> Happening:
        try:
            self._runtime.start(row.version, row.bundle_digest, canary_name(row))
        except DependencyError as error:
            return StartFailed(f"the canary did not start: {error}")
        return CanaryStarted()

    def _smoke_canary(self, row: ReleaseRow) -> Happening:
        try:
            canary = self._runtime.start(row.version, row.bundle_digest, canary_name(row))
            return SmokePassed(_upstream(canary), self._smoke(canary))
        except (DependencyError, SmokeError) as error:
            return StartFailed(f"the canary failed its smoke requests: {error}")

    def _start_main(self, row: ReleaseRow) -> Happening:
        try:
            main = self._runtime.start(row.version, row.bundle_digest, main_name(row))
            self._smoke(main)
        except (DependencyError, SmokeError) as error:
            with self._database.read() as connection:
                events = store.events_of(connection, row.release_id)
            attempt = 1 + sum(event.kind == "start_failed" for event in events)
            return StartFailed(f"the new main did not start: {error}", attempt)
        return MainStarted(_upstream(main), self._fallback_of(row))

    def _look(self, row: ReleaseRow) -> Happening | None:
        """The next look that is due, if its data are complete."""
        at_ms, now_ms = row.next_look_ms or 0, self._clock.now_ms()
        plan = ReleasePlan.from_json(row.plan["evaluation"])
        complete = self._complete(at_ms)
        # A reader that stays away does not stop the looks: they then find, and say, that they are blind.
        if not complete and now_ms < at_ms + plan.stale_after_ms:
            return None
        with self._database.read() as connection:
            played = store.plans_of(connection, row.release_id)
            current = store.current_plan(connection)
        until_ms = at_ms + (now_ms - at_ms) // plan.look_every_ms * plan.look_every_ms
        result = self._evaluator.look(row.release_id, plan, played[0].created_ms, at_ms, until_ms)
        known = Known(*self._evaluator.known(), complete)
        if not complete:
            self._evaluator.forget()  # what comes late is found by reading everything again
        alone = current is not None and current.canary is None
        return Looked(result, latest=at_ms == until_ms, alone=alone, known=known)

    def _drain(self, row: ReleaseRow) -> Happening:
        """Stop what no traffic plan names any more: old main and canary, or canary and unborn main."""
        started = {instance.name for instance in self._runtime.instances()}
        with self._database.read() as connection:
            plan = store.current_plan(connection)
            now = store.get_release(connection, row.release_id)
        if now.revision != row.revision:  # another release may already be starting instances of its own
            raise ConflictError(f"release {row.release_id} is {now.state} by now")
        self._supervisor.stop_unplanned(started, plan)
        return Drained()

    def _fallback_of(self, row: ReleaseRow) -> tuple[str, ...]:
        try:
            return self._fallback(self._bundles / row.version)
        except (OSError, ValueError, KeyError) as error:
            # Without the list viewers get a 503 when both arms are away: worth a line, not the promotion.
            self._ledger.note(row, Note("no_fallback", f"No static trending list: {error}"))
            return ()


def canary_name(row: ReleaseRow) -> str:
    """The name of the release's canary instance."""
    return f"{row.release_id}-canary"


def main_name(row: ReleaseRow) -> str:
    """The name of the main instance that the release starts."""
    return f"{row.release_id}-main"


def _upstream(instance: Instance) -> Upstream:
    return Upstream(version=instance.version, bundle_digest=instance.digest, url=instance.url)
