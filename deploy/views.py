"""Releases as JSON, for the command line: the same reading and the same sentences as on the page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from core.clock import Clock
from core.errors import NotFoundError
from deploy.runtime import Runtime
from load_balancer.control import story
from load_balancer.control.reading import Reader, summary
from storage.database import Database


class ReleaseViews:
    """Reads only."""

    def __init__(self, database: Database, runtime: Runtime, clock: Clock) -> None:
        self._reader = Reader(database)
        self._runtime = runtime
        self._clock = clock

    def status(self) -> dict[str, Any]:
        """Main, canary, share, the newest release, instances."""
        plan = self._reader.current_plan()
        newest = self._reader.newest()
        return {
            "main": msgspec.to_builtins(plan.main) if plan is not None else None,
            "canary": msgspec.to_builtins(plan.canary) if plan is not None else None,
            "share": plan.share if plan is not None else 0.0,
            "shadow": msgspec.to_builtins(plan.shadow) if plan is not None else None,
            "epoch": plan.epoch if plan is not None else 0,
            "testers": dict(plan.overrides) if plan is not None else {},
            "release": self.explain(newest) if newest is not None else None,
            "instances": [asdict(instance) for instance in self._runtime.instances()],
        }

    def history(self, limit: int) -> list[dict[str, Any]]:
        """Releases, newest first."""
        return [summary(row, verdict) for row, verdict in self._reader.rows(limit)]

    def explain(self, release_id: str | None) -> dict[str, Any]:
        """One release (the newest by default) with its last look and `sentences`.

        Raises:
            NotFoundError: no such release, or none at all.
        """
        release_id = release_id or self._reader.newest()
        if release_id is None:
            raise NotFoundError("there has been no release yet")
        view = self._reader.view(release_id)
        return {
            **summary(view.row, view.verdict),
            "exposures": dict(view.counts.assigned),
            "fallbacks": dict(view.counts.helped),
            "looks": len(view.looks),
            "last_look": view.last,
            "sentences": story.sentences(view, self._clock.now_ms()),
        }

    def why(self, release_id: str) -> str:
        """The reason of the verdict."""
        return story.why(self._reader.view(release_id))
