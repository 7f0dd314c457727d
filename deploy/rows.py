"""Where an evaluation reads its rows from, and what of them was known when a look was taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from core.clock import DAY
from core.errors import InvalidInputError
from deploy.crediting import Objects
from deploy.evaluation import ReleasePlan
from deploy.outcome_rows import ExposureColumns, InteractionColumns
from deploy.outcomes import History, history
from storage.database import Database
from storage.exposure_columns import StoredColumns, columns_between, columns_of_release, items_of
from storage.interactions import interactions_between, last_interaction
from storage.releases import known_at_looks

# The events that can make a request a success.
SUCCESS_EVENTS = ("complete", "progress")
# What viewers did before the release, to take their habits out of the comparison (CUPED).
HISTORY_MS = DAY


@dataclass(frozen=True, slots=True)
class Known:
    """The last rows that were stored when a look was taken, and whether the reader had caught up by then."""

    exposure_row: int
    interaction_row: int
    complete: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Known:
        """
        Raises:
            InvalidInputError: not what `to_json` wrote.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise InvalidInputError(f"not what a look knew: {error}") from None


class Rows(Protocol):
    """Exposures and interactions around one release: in the main store, or in an exported file."""

    def known(self, release_id: str) -> list[tuple[int, Known]]:
        """Time of each look taken so far and what it knew, in order."""
        ...

    def exposures(
        self, release_id: str, after_row: int, up_to_row: int | None
    ) -> tuple[ExposureColumns, int]:
        """The exposures of a release within rows, and the number of the last (`after_row` if none)."""
        ...

    def interactions(
        self, first_ms: int, last_ms: int, up_to_row: int | None
    ) -> tuple[InteractionColumns, int]:
        """What was received between two times, both included, and the last row stored of all interactions."""
        ...

    def shown(self, items: Objects) -> Sequence[str | Sequence[str]]:
        """The lists, or their JSON texts, that entries of an exposures' `items` stand for."""
        ...

    def history(self, plan: ReleasePlan, started_ms: int) -> History:
        """What each viewer did before a release."""
        ...


class DatabaseRows:
    """`Rows` in the main store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, release_id: str) -> list[tuple[int, Known]]:
        with self._database.read() as connection:
            return [
                (at_ms, Known.from_json(known)) for at_ms, known in known_at_looks(connection, release_id)
            ]

    def exposures(
        self, release_id: str, after_row: int, up_to_row: int | None
    ) -> tuple[ExposureColumns, int]:
        with self._database.read() as connection:
            portions = list(columns_of_release(connection, release_id, after_row, up_to_row))
        return exposure_columns(portions), portions[-1].last_row if portions else after_row

    def interactions(
        self, first_ms: int, last_ms: int, up_to_row: int | None = None
    ) -> tuple[InteractionColumns, int]:
        with self._database.read() as connection:
            columns = interactions_between(connection, first_ms, last_ms, SUCCESS_EVENTS, up_to_row)
            last_row = last_interaction(connection)
        read = InteractionColumns(
            user_id=columns.user_ids,
            video_id=columns.video_ids,
            event_type=columns.event_type,
            watch_percentage=columns.watch_percentage,
            request_id=columns.request_ids,
            received_ms=columns.received_ms,
        )
        return read, last_row

    def shown(self, items: Objects) -> Sequence[str | Sequence[str]]:
        with self._database.read() as connection:
            return items_of(connection, items.tolist())

    def history(self, plan: ReleasePlan, started_ms: int) -> History:
        first_ms = started_ms - HISTORY_MS
        exposures = self.exposures_between(first_ms, started_ms - plan.window_ms)
        return history(plan, exposures, self.interactions(first_ms, started_ms)[0], started_ms, self.shown)

    def exposures_between(self, first_ms: int, last_ms: int) -> ExposureColumns:
        """What was served between two times, both included, of whatever release."""
        with self._database.read() as connection:
            return exposure_columns(columns_between(connection, first_ms, last_ms))


def exposure_columns(portions: Iterable[StoredColumns]) -> ExposureColumns:
    """Portions of stored exposures, end to end; their `items` are row numbers."""
    held = list(portions)

    def joined(name: str) -> list[Any]:
        return list(chain.from_iterable(getattr(portion, name) for portion in held))

    def array(name: str, dtype: type) -> np.ndarray[Any, Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(portion, name) for portion in held)])

    return ExposureColumns(
        request_id=joined("request_id"),
        user_id=joined("user_id"),
        served_ms=array("served_ms", np.int64),
        arm_assigned=joined("arm_assigned"),
        stage=array("stage", np.int64),
        items=joined("row"),
        forced=array("forced", np.bool_),
        outcome=joined("outcome"),
        latency_ms=array("latency_ms", np.float64),
        arm_served=joined("arm_served"),
    )
