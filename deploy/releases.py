"""Releases: what an operator, the command line and the scheduler may ask for."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from core.clock import SECOND, Clock
from core.errors import ConflictError, InvalidBundleError, NotFoundError, RefusedError
from core.ids import new_id
from core.traffic import TrafficPlan
from deploy.evaluation import ReleasePlan
from deploy.ledger import Ledger
from deploy.runtime import Runtime
from deploy.states import WAITING, Asked, Note
from deploy.supervisor import Supervisor
from deploy.views import ReleaseViews
from deploy.worker import Worker
from storage import releases as store
from storage.bundles import BundleRef, Manifest, find, open_bundle
from storage.database import Database
from storage.releases import ReleaseRow

# The offline gate: reasons why a candidate must not meet viewers beside this main; none: it may.
Gate = Callable[[Manifest, Manifest], Sequence[str]]

# The kinds of event by which the control plane asks; each is answered once, in their order.
ASKS: Final[Mapping[str, Literal["abort", "pause", "resume", "promote"]]] = {
    "abort_asked": "abort",
    "pause_asked": "pause",
    "resume_asked": "resume",
    "promote_asked": "promote",
}
# How a canary ends that did not become main.
WITHDRAWN: Final = frozenset({"rolled_back", "aborted", "invalid", "inconclusive"})
ANSWERS: Final = frozenset({"ask_done", "ask_refused"})


@dataclass(frozen=True, slots=True)
class _Stage:
    """What stands now: the traffic plan in force and the release that is open."""

    plan: TrafficPlan | None
    open: ReleaseRow | None


class ReleaseManager:
    """One per process, made by `deploy.wiring.build_manager`; thread-safe.

    Several processes may hold one at the same time (command line, scheduler, cron): every change is a
    compare-and-swap, and who loses reads again.
    """

    def __init__(
        self,
        *,
        database: Database,
        runtime: Runtime,
        clock: Clock,
        bundles: Path,
        gate: Gate,
        plan: ReleasePlan,
        ledger: Ledger,
        worker: Worker,
        supervisor: Supervisor,
        views: ReleaseViews,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._clock = clock
        self._bundles = bundles
        self._gate = gate
        self._plan = plan
        self._ledger = ledger
        self._worker = worker
        self._supervisor = supervisor
        self._views = views
        self._ticking = threading.Lock()

    def start(
        self,
        version: str,
        *,
        plan: ReleasePlan | None = None,
        force: bool = False,
        reason: str = "",
        replace: bool = False,
    ) -> ReleaseRow:
        """Offline gate, canary process, smoke requests, traffic plan stage 1; returns in state `running`.

        Without any main the version is installed as main (returns in state `promoted`). `force` with
        `reason` overrules the offline gate. `replace` aborts a release that is open.

        Raises:
            NotFoundError: no such version; InvalidBundleError: it is damaged.
            RefusedError: the offline gate says no, a release is open, or the canary did not start.
        """
        if force and not reason.strip():
            raise RefusedError("--force needs --reason: it is kept with the release")
        bundle, manifest = self._bundle(version)
        stage = self._stage()
        if stage.open is not None:
            if not replace:
                raise RefusedError(f"{_is_open(stage.open)}: abort it first, or replace it")
            self.abort(f"replaced by {version}")
            stage = self._stage_once_closed()
        plan, reason = plan or self._plan, reason.strip()
        if stage.plan is None:
            row = self._new_row(bundle, "install", "promoting", None, plan, reason)
            return self._begin(row, Note("started", f"{version} is installed: there is no main yet"))
        row = self._new_row(bundle, "canary", "starting", stage.plan, plan, reason)
        refusals = self._refusals(manifest, stage.plan.main.version)
        if refusals and not force:
            return self._refuse(row, refusals)
        row = dataclasses.replace(row, forced=bool(refusals))
        return self._begin(row, *_opening(row, refusals))

    def tick(self) -> ReleaseRow | None:
        """Do what is due: restart what died, obey asks, looks, ramp, verdict, its execution. Idempotent.

        Returns the release it worked on; None without an open one.
        """
        with self._ticking:
            self.obey_asks()
            started = {instance.name for instance in self._runtime.instances()}
            stage = self._stage()
            if stage.plan is not None:
                self._supervisor.supervise(stage.plan)
            if stage.open is not None:
                return self._worker.drive(stage.open)
            self._supervisor.stop_unplanned(started, stage.plan)
            return None

    def obey_asks(self) -> ReleaseRow | None:
        """Carry out what the control plane asked for; quick, so that it may run beside a slow tick."""
        row = None
        while (found := self._next_ask()) is not None:
            row = self._answer(*found) or row
        return row

    def _answer(self, row: ReleaseRow, asked: Asked) -> ReleaseRow | None:
        try:
            return self._ledger.apply(row, asked)
        except ConflictError:
            return None  # somebody else changed the release, or answered: read again
        except RefusedError as error:
            why = str(error)
        with contextlib.suppress(ConflictError):
            self._ledger.refuse(row, Note("ask_refused", f"Asked to {asked.what}, but {why}"))
        return None

    def _next_ask(self) -> tuple[ReleaseRow, Asked] | None:
        """The open release and the first of its asks that nobody has answered."""
        with self._database.read() as connection:
            row = store.open_release(connection)
            events = store.events_of(connection, row.release_id) if row is not None else []
        asks = [event for event in events if event.kind in ASKS]
        answered = sum(event.kind in ANSWERS for event in events)
        if row is None or answered >= len(asks):
            return None
        return row, Asked(ASKS[asks[answered].kind], asks[answered].text, on_page=True)

    def abort(self, reason: str) -> ReleaseRow:
        """Main only, at once; the canary is stopped by the ticks that follow.

        Raises:
            RefusedError: no release is open, or its traffic has already shifted.
        """
        return self._ask(Asked("abort", reason or "no reason given"))

    def promote(self, *, force: bool, reason: str) -> ReleaseRow:
        """Make the canary main without waiting for evidence; the ticks that follow carry it out.

        Raises:
            RefusedError: without `force` and `reason`, or without a canary.
        """
        row = self._require_open("promote")
        if not force or not reason.strip():
            raise RefusedError(
                f"the online evaluation decides on {row.version}; --force with --reason promotes it without"
            )
        return self._ask(Asked("promote", reason), row.release_id)

    def rollback(self, *, to: str | None = None, reason: str = "") -> ReleaseRow:
        """Canary away if a release is open, else the previous (or the named) version becomes main again.

        A second time in a row it changes nothing. After a canary was withdrawn, main goes only to a version
        that is named.

        Raises:
            RefusedError: nothing to go back to. NotFoundError, InvalidBundleError: its bundle is gone or
                damaged; found out before any traffic moves.
        """
        reason = reason or "no reason given"
        stage = self._stage()
        if stage.open is not None and stage.open.plan.get("kind") == "canary":
            if to is not None:
                raise RefusedError(f"{_is_open(stage.open)}: end it before main changes")
            return self._ask(Asked("roll_back", reason), stage.open.release_id)
        if stage.open is not None:  # a rollback is under way: the same again
            return stage.open
        if stage.plan is None:
            raise RefusedError("there is no main yet, so nothing can be rolled back")
        newest = self._newest()
        if to is None and newest is not None and newest.state in WITHDRAWN:
            return newest  # asked again, or after the canary had left: main is not touched without its name
        last = self._last_promoted()
        target = to or _before(last)
        if target == stage.plan.main.version and last is not None:
            return last
        bundle, _ = self._bundle(target)
        row = self._new_row(bundle, "rollback", "promoting", stage.plan, self._plan, reason)
        return self._begin(row, Note("started", f"Back to {target} from {row.base_version}: {reason}"))

    def pause(self, reason: str) -> ReleaseRow:
        """Hold ramp and promotion; harm still rolls back."""
        return self._ask(Asked("pause", reason or "no reason given"))

    def resume(self, reason: str) -> ReleaseRow:
        """Go on after a pause."""
        return self._ask(Asked("resume", reason or "no reason given"))

    def settle(self, seconds: float = 120) -> ReleaseRow | None:
        """Tick until no step of a start, promotion or rollback is under way; the newest release."""
        deadline = self._clock.now_ms() + round(seconds * SECOND)
        while True:
            row = self.tick()
            if row is None or row.closed_ms is not None or row.state in WAITING:
                return self._newest()
            if self._clock.now_ms() > deadline:
                raise RefusedError(f"{row.version} is still {row.state} after {seconds:g} s")
            self._clock.sleep(0.1)

    def status(self) -> dict[str, Any]:
        """JSON: main, canary, share, open release with its last look, instances, what happens next and when."""
        return self._views.status()

    def history(self, limit: int = 20) -> list[dict[str, Any]]:
        """JSON: releases, newest first, with verdict and reason."""
        return self._views.history(limit)

    def explain(self, release_id: str | None = None) -> dict[str, Any]:
        """JSON: the release (the newest by default), its numbers, and `sentences` that say why."""
        return self._views.explain(release_id)

    def stop_all(self) -> None:
        """Stop every instance and change nothing else: the next tick starts what the plan names again."""
        with self._ticking:
            for instance in self._runtime.instances():
                self._runtime.stop(instance.name)

    # --- steps of the above

    def _begin(self, row: ReleaseRow, *notes: Note) -> ReleaseRow:
        """Store a release and drive it until it waits or closes."""
        created = self._ledger.create(row, *notes)
        with self._ticking:
            row = self._worker.drive(created)
        if row.state not in WAITING:
            self.settle()
            row = self._ledger.get(row.release_id)
        if row.state in {"rolled_back", "aborted"} and row.stage == 0:
            raise RefusedError(f"{row.version} did not start: {self._views.why(row.release_id)}")
        return row

    def _ask(self, asked: Asked, release_id: str | None = None) -> ReleaseRow:
        while True:
            row = self._ledger.get(release_id) if release_id else self._require_open(asked.what)
            try:
                return self._ledger.apply(row, asked)
            except ConflictError:
                continue  # somebody else was first: read again, decide again

    def _refuse(self, row: ReleaseRow, refusals: Sequence[str]) -> ReleaseRow:
        why = "; ".join(refusals)
        notes = [Note("refused", f"The offline gate refuses {row.version}: {reason}") for reason in refusals]
        closed = dataclasses.replace(
            row, state="refused", closed_ms=row.started_ms, next_look_ms=None, reason=why
        )
        self._ledger.create(closed, *notes)
        raise RefusedError(
            f"the offline gate refuses {row.version}: {why} (--force with --reason overrules it)"
        )

    def _refusals(self, candidate: Manifest, main_version: str) -> list[str]:
        try:
            _, main = self._bundle(main_version)
        except (NotFoundError, InvalidBundleError) as error:
            return [f"main cannot be compared with: {error}"]
        return list(self._gate(candidate, main))

    def _bundle(self, version: str) -> tuple[BundleRef, Manifest]:
        bundle = find(self._bundles, version)
        return bundle, open_bundle(bundle.path, bundle.digest)

    def _new_row(
        self,
        bundle: BundleRef,
        kind: str,
        state: str,
        current: TrafficPlan | None,
        plan: ReleasePlan,
        reason: str,
    ) -> ReleaseRow:
        now_ms = self._clock.now_ms()
        return ReleaseRow(
            release_id=f"{bundle.version[:50]}-{new_id()[:8]}",
            version=bundle.version,
            bundle_digest=bundle.digest,
            base_version=current.main.version if current is not None else "",
            state=state,
            plan={"kind": kind, "evaluation": plan.to_json()},
            salt=new_id(),
            started_ms=now_ms,
            updated_ms=now_ms,
            next_look_ms=now_ms,
            reason=reason,
        )

    def _stage(self) -> _Stage:
        with self._database.read() as connection:
            return _Stage(store.current_plan(connection), store.open_release(connection))

    def _stage_once_closed(self) -> _Stage:
        self.settle()
        return self._stage()

    def _require_open(self, what: str) -> ReleaseRow:
        row = self._stage().open
        if row is None:
            raise RefusedError(f"no release is open: there is nothing to {what.replace('_', ' ')}")
        return row

    def _newest(self) -> ReleaseRow | None:
        with self._database.read() as connection:
            return next(iter(store.list_releases(connection, 1)), None)

    def _last_promoted(self) -> ReleaseRow | None:
        with self._database.read() as connection:
            rows = store.list_releases(connection, 1_000)
        return next((row for row in rows if row.state == "promoted"), None)


def _opening(row: ReleaseRow, refusals: Sequence[str]) -> list[Note]:
    started = Note("started", f"{row.version} is to earn its place beside {row.base_version}")
    if not refusals:
        return [started, Note("gate", "The offline gate has no objection")]
    overruled = [Note("gate", f"The offline gate objects: {refusal}") for refusal in refusals]
    return [started, *overruled, Note("forced", f"Started by force all the same: {row.reason}")]


def _before(last: ReleaseRow | None) -> str:
    """The version that was main before the last promotion; after a rollback the one that was gone back to."""
    if last is None or not last.base_version:
        raise RefusedError("there was no main before this one: name a version with --to")
    return last.version if last.plan.get("kind") == "rollback" else last.base_version


def _is_open(row: ReleaseRow) -> str:
    return f"release {row.release_id} of {row.version} is open ({row.state})"
