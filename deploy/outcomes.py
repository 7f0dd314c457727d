"""From exposures and interactions to looks: maturation, crediting, deduplication. Pure, over columns.

A request is a success if at least one of its videos was completed, or watched to at least half, by the same
viewer within the plan's window after it. Receipt by the server decides about time. Only requests older than
the window plus the ingest delay enter; guardrails see a request once the ingest delay has passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from deploy.crediting import NOBODY, AsGiven, Bools, Events, Ints, Kept, Requests, credit
from deploy.evaluation import Before, Look, Matured, ReleasePlan, Served
from deploy.outcome_rows import (
    ExposureColumns,
    Floats,
    InteractionColumns,
    RequestRows,
    Roster,
    SuccessRows,
)

__all__ = ["ExposureColumns", "History", "InteractionColumns", "OutcomeState", "history", "looks"]

# user id -> (requests, successes) before the release, for CUPED
History = Mapping[str, tuple[int, int]]

# A latency threshold comes from main's latencies in the look before, and in earlier ones while those are fewer.
THRESHOLD_REQUESTS = 200
PERCENTILES = {"p95": 95.0, "p99": 99.0}


class OutcomeState:
    """What is remembered between looks: the requests of the last window, thresholds, who was seen.

    Viewers are numbered in the order in which they appear; nothing depends on the numbers.
    """

    def __init__(
        self,
        plan: ReleasePlan,
        started_ms: int,
        history: History | None = None,
        kept: Kept | None = None,
    ) -> None:
        self._plan = plan
        self._kept = kept or AsGiven()
        self._at_ms = started_ms  # of the last look made
        self.roster = Roster()  # of the viewers of rows that are given as such
        self._names: list[str] = []  # of the roster, in order
        self._history = history or {}
        self._introduced: Bools = np.zeros(0, np.bool_)  # by viewer: history was given to the kernel
        self._requests = RequestRows.none()
        self._successes = SuccessRows.none()
        self._event_ids: set[str] = set()
        self._latencies: Floats = np.empty(0)  # of main, in the looks before
        self._newest_ms = started_ms  # the latest exposure looked at
        self.late = 0

    def advance(
        self, exposures: ExposureColumns | RequestRows, interactions: InteractionColumns, until_ms: int
    ) -> list[Look]:
        """Take in new rows and return the looks that are due by `until_ms`, in order.

        Rows of any time may be given, each once, but not after the look that they belong to: such exposures
        are counted in `late` and left out. Of exposures with one request id, and of successes with one event
        id, the first counts.
        """
        if isinstance(exposures, ExposureColumns):
            exposures = RequestRows.read(exposures, self.roster)
        self._take_exposures(exposures)
        if len(interactions.user_id):
            self._successes = self._successes.join(SuccessRows.read(interactions, self._event_ids))
        every = self._plan.look_every_ms
        points = range(self._at_ms + every, until_ms + 1, every)
        if not points:
            return []
        self._credit(points[-1] - self._plan.ingest_delay_ms)
        made = [self._look(at_ms) for at_ms in points]
        self._requests = self._requests.take(
            slice(self._requests.until(points[-1] - self._plan.horizon_ms), None)
        )
        return made

    def _take_exposures(self, new: RequestRows) -> None:
        if not new.size:
            return
        on_time = new.served_ms > self._at_ms - self._plan.ingest_delay_ms
        self.late += int((~on_time).sum())
        self._requests = self._requests.join(new.take(on_time)).in_order(self._kept)

    def _credit(self, until_ms: int) -> None:
        """Settle every event received by then; the others wait."""
        due = self._successes.received_ms <= until_ms
        due_rows = self._successes.take(due)
        _mark_successes(self._requests, due_rows, self.roster, self._plan.window_ms, self._kept)
        self._successes = self._successes.take(~due)

    def _look(self, at_ms: int) -> Look:
        plan, before_ms = self._plan, self._at_ms
        self._at_ms = at_ms
        seen = self._requests.between(before_ms - plan.ingest_delay_ms, at_ms - plan.ingest_delay_ms)
        final = self._requests.between(before_ms - plan.horizon_ms, at_ms - plan.horizon_ms)
        if seen.size:
            self._newest_ms = int(seen.served_ms[-1])
        silent_ms = at_ms - plan.ingest_delay_ms - self._newest_ms
        seen, final = seen.take(seen.counted), final.take(final.counted)
        return Look(
            at_ms=at_ms,
            matured=Matured(
                final.viewer, final.stage, final.canary, _ones(final), final.succeeded.astype(np.int64)
            ),
            served=Served(seen.viewer, seen.stage, seen.canary, _ones(seen), self._events(seen)),
            before=self._before(seen.viewer),
            blind_ms=silent_ms if silent_ms > plan.stale_after_ms else 0,
        )

    def _events(self, rows: RequestRows) -> dict[str, Ints]:
        """Guardrail events of each request; a latency guardrail needs a threshold from earlier looks."""
        events = {"error": rows.error, "fallback": rows.timeout | rows.fell_back, "short": rows.short}
        if self._latencies.size:
            for name, percentile in PERCENTILES.items():
                threshold = np.percentile(self._latencies, percentile, method="higher")
                events[name] = rows.latency_ms > threshold
        self._remember_latencies(rows.latency_ms[~rows.canary & ~rows.error])
        return {name: happened.astype(np.int64) for name, happened in events.items()}

    def _remember_latencies(self, latest: Floats) -> None:
        kept = max(THRESHOLD_REQUESTS - latest.size, 0)
        earlier = self._latencies[max(self._latencies.size - kept, 0) :]
        self._latencies = np.concatenate([earlier, latest])

    def _before(self, viewer: Ints) -> Before:
        """The history of viewers who appear for the first time."""
        if not self._history:
            return Before()
        introduced = np.zeros(len(self.roster), np.bool_)
        introduced[: self._introduced.size] = self._introduced
        new = np.unique(viewer[~introduced[viewer]])
        introduced[new] = True
        self._introduced = introduced
        if len(self._names) < len(self.roster):
            self._names = list(self.roster)
        known = [code for code in new.tolist() if self._names[code] in self._history]
        done = [self._history[self._names[code]] for code in known]
        return Before(
            np.array(known, np.int64),
            np.array([requests for requests, _ in done], np.int64),
            np.array([successes for _, successes in done], np.int64),
        )


def looks(
    plan: ReleasePlan,
    exposures: ExposureColumns,
    interactions: InteractionColumns,
    started_ms: int,
    until_ms: int,
    history: History | None = None,
) -> Iterator[Look]:
    """Every look of a release from its start to `until_ms`, from scratch."""
    yield from OutcomeState(plan, started_ms, history).advance(exposures, interactions, until_ms)


def history(
    plan: ReleasePlan,
    exposures: ExposureColumns | RequestRows,
    interactions: InteractionColumns,
    started_ms: int,
    kept: Kept | None = None,
    roster: Roster | None = None,
) -> dict[str, tuple[int, int]]:
    """Requests and successes of each viewer before a release, whatever arm or release they belonged to.

    Only what had matured when the release started counts, so that nothing of the release is in it. `roster`:
    of the viewers, where rows are given as such.
    """
    roster = Roster() if roster is None else roster
    rows = RequestRows.read(exposures, roster) if isinstance(exposures, ExposureColumns) else exposures
    rows = rows.in_order(kept)
    successes = SuccessRows.read(interactions, set())
    successes = successes.take(successes.received_ms <= started_ms)
    _mark_successes(rows, successes, roster, plan.window_ms, kept or AsGiven())
    rows = rows.take(slice(0, rows.until(started_ms - plan.window_ms)))
    requests = np.bincount(rows.viewer, minlength=len(roster))
    succeeded = np.bincount(rows.viewer[rows.succeeded], minlength=len(roster))
    return {name: (int(n), int(y)) for name, n, y in zip(roster, requests, succeeded, strict=True) if n > 0}


def _mark_successes(
    rows: RequestRows, successes: SuccessRows, roster: Roster, window_ms: int, kept: Kept
) -> None:
    credited = credit(
        Requests(rows.key, rows.viewer, rows.served_ms, rows.items, kept),
        Events(
            roster.find(successes.user_id.tolist(), NOBODY),
            successes.video_id,
            successes.request_id,
            successes.received_ms,
        ),
        window_ms,
    )
    rows.succeeded[credited[credited >= 0]] = True


def _ones(rows: RequestRows) -> Ints:
    return np.ones(rows.size, np.int64)
