"""What a release page is made from: everything the tables say of one release, read in one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.traffic import TrafficPlan
from storage import releases as store
from storage.database import Database
from storage.exposure_counts import ExposureCounts, count_exposures
from storage.releases import EvaluationRow, ReleaseEvent, ReleaseRow, VerdictRow


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """One release with everything around it. `plans` are its own traffic plans, `current` the one in force."""

    row: ReleaseRow
    verdict: VerdictRow | None = None
    events: list[ReleaseEvent] = field(default_factory=list)
    looks: list[EvaluationRow] = field(default_factory=list)
    plans: list[TrafficPlan] = field(default_factory=list)
    current: TrafficPlan | None = None
    counts: ExposureCounts = field(default_factory=ExposureCounts)

    @property
    def kind(self) -> str:
        """canary, install or rollback."""
        return str(self.row.plan.get("kind", "canary"))

    @property
    def evaluation(self) -> dict[str, Any]:
        """The plan of the online evaluation."""
        found = self.row.plan.get("evaluation", {})
        return found if isinstance(found, dict) else {}

    @property
    def last(self) -> dict[str, Any] | None:
        """The result of the latest look."""
        return self.looks[-1].result if self.looks else None

    @property
    def opened_ms(self) -> int | None:
        """When the canary got its first viewers."""
        return self.plans[0].created_ms if self.plans else None

    @property
    def is_open(self) -> bool:
        return self.row.closed_ms is None


class Reader:
    """Reads views; remembers how far it has counted the exposures of the release looked at last."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: dict[str, ExposureCounts] = {}

    def view(self, release_id: str) -> ReleaseView:
        """One release.

        Raises:
            NotFoundError: there is none of this id.
        """
        counted = self._counted.get(release_id, ExposureCounts())
        with self._database.read() as connection:
            view = ReleaseView(
                row=store.get_release(connection, release_id),
                verdict=store.verdict_of(connection, release_id),
                events=store.events_of(connection, release_id),
                looks=store.evaluations_of(connection, release_id),
                plans=store.plans_of(connection, release_id),
                current=store.current_plan(connection),
                counts=count_exposures(connection, release_id, counted),
            )
        self._counted = {release_id: view.counts}  # one is enough: the open release is the one watched
        return view

    def rows(self, limit: int) -> list[tuple[ReleaseRow, VerdictRow | None]]:
        """Releases, newest first, each with its verdict."""
        with self._database.read() as connection:
            rows = store.list_releases(connection, limit)
            return [(row, store.verdict_of(connection, row.release_id)) for row in rows]

    def newest(self) -> str | None:
        """The id of the newest release, if there is any."""
        with self._database.read() as connection:
            return next((row.release_id for row in store.list_releases(connection, 1)), None)

    def current_plan(self) -> TrafficPlan | None:
        with self._database.read() as connection:
            return store.current_plan(connection)


def summary(row: ReleaseRow, verdict: VerdictRow | None) -> dict[str, Any]:
    """A release in one object."""
    return {
        "release_id": row.release_id,
        "version": row.version,
        "base_version": row.base_version,
        "kind": row.plan.get("kind"),
        "state": row.state,
        "stage": row.stage,
        "revision": row.revision,
        "forced": row.forced,
        "started_ms": row.started_ms,
        "closed_ms": row.closed_ms,
        "next_look_ms": row.next_look_ms,
        "verdict": verdict.verdict if verdict is not None else None,
        "reason": verdict.reason if verdict is not None and verdict.reason else row.reason,
    }
