"""From rows to looks: reads what is new of a release and takes the evaluation one look further."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field

from core.errors import UnderstudyError
from deploy.evaluation import Look, LookResult, ReleasePlan, State, step
from deploy.outcomes import OutcomeState
from deploy.rows import Known, Rows

logger = logging.getLogger(__name__)

LOOKS_AT_ONCE = 100


@dataclass(slots=True)
class _Memory:
    """How far the evaluation of one release has come in this process."""

    release_id: str
    plan: ReleasePlan
    started_ms: int
    outcomes: OutcomeState
    state: State
    at_ms: int  # of the last look taken in
    bounds: deque[tuple[int, Known]]  # of the looks taken so far: time, and what was known
    row: int = 0  # the last exposure read
    interaction_row: int = 0  # the last interaction that was there
    received_ms: int = -1  # of the last interaction read
    looks: deque[Look] = field(default_factory=deque)


class Evaluator:
    """Looks at a release on its grid. Goes on from the last look, or from scratch: the results are the same.

    From scratch each look gets the rows that it had when it was first taken, so that one that came late counts
    the same however often the process was started. Not thread-safe; one a process.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._memory: _Memory | None = None

    def forget(self) -> None:
        """Begin from scratch at the next look."""
        self._memory = None

    def known(self) -> tuple[int, int]:
        """The last exposure and the last interaction, by row, that the latest look knew."""
        return (self._memory.row, self._memory.interaction_row) if self._memory is not None else (0, 0)

    def look(
        self, release_id: str, plan: ReleasePlan, started_ms: int, at_ms: int, until_ms: int
    ) -> LookResult:
        """The result of the look at `at_ms`.

        Args:
            started_ms: when the release's first traffic plan came into force: where the grid begins.
            at_ms: a point of the grid.
            until_ms: the last point of the grid that is due: rows are read up to there at once.
        """
        memory = self._memory
        if memory is None or memory.release_id != release_id or memory.at_ms != at_ms - plan.look_every_ms:
            memory = self._begin(release_id, plan, started_ms)
        self._memory = None  # if anything below fails, the next try begins from scratch
        if not memory.looks:
            # A tick that is days late makes its looks by and by: the first of them may decide.
            ahead_ms = memory.at_ms + LOOKS_AT_ONCE * plan.look_every_ms
            self._read(memory, min(until_ms, max(at_ms, ahead_ms)))
        while memory.looks:
            look = memory.looks.popleft()
            memory.state, result = step(plan, memory.state, look)
            memory.at_ms = look.at_ms
            if look.at_ms == at_ms:
                self._memory = memory
                return result
        raise UnderstudyError(f"release {release_id} has no look at {at_ms}")

    def _begin(self, release_id: str, plan: ReleasePlan, started_ms: int) -> _Memory:
        before = self._rows.history(plan, started_ms) if plan.cuped else {}
        # A look without complete data is no bound: what came afterwards counts in the looks after it.
        known = [(at_ms, known) for at_ms, known in self._rows.known(release_id) if known.complete]
        return _Memory(
            release_id=release_id,
            plan=plan,
            started_ms=started_ms,
            outcomes=OutcomeState(plan, started_ms, before, self._rows),
            state=State.begin(plan, started_ms),
            at_ms=started_ms,
            bounds=deque(known),
        )

    def _read(self, memory: _Memory, until_ms: int) -> None:
        while memory.bounds and memory.bounds[0][0] <= until_ms:
            at_ms, known = memory.bounds.popleft()
            if at_ms > memory.at_ms:
                self._advance(memory, at_ms, known)
        if not memory.looks or memory.looks[-1].at_ms < until_ms:
            self._advance(memory, until_ms, None)
        if memory.outcomes.late:
            logger.warning("release %s: %d exposures came too late", memory.release_id, memory.outcomes.late)

    def _advance(self, memory: _Memory, until_ms: int, known: Known | None) -> None:
        """Make the looks up to a time out of what is new; `known`: out of no more than was known then."""
        # Outcomes are settled no earlier than the ingest delay after the last event that can change them.
        received_ms = until_ms - memory.plan.ingest_delay_ms
        first_ms = max(memory.received_ms + 1, memory.started_ms)
        interactions, memory.interaction_row = self._rows.interactions(
            first_ms, received_ms, known.interaction_row if known is not None else None
        )
        memory.received_ms = max(memory.received_ms, received_ms)
        exposures, memory.row = self._rows.exposures(
            memory.release_id,
            memory.row,
            known.exposure_row if known is not None else None,
            memory.outcomes.roster,
        )
        memory.looks.extend(memory.outcomes.advance(exposures, interactions, until_ms))
