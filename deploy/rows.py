"""Where an evaluation reads its rows from, and what of them was known when a look was taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from core.clock import DAY
from core.errors import InvalidInputError
from deploy.crediting import Kept, Keys, Lists, Objects
from deploy.evaluation import ReleasePlan
from deploy.outcome_rows import InteractionColumns, RequestRows, Roster
from deploy.outcomes import History, history
from storage.database import Database
from storage.exposure_columns import items_of, request_ids_of, rows_and_items_of
from storage.exposure_numbers import FLAGS, Numbers, numbers_between, numbers_of_release
from storage.interactions import interactions_between, last_interaction
from storage.releases import known_at_looks

# The events that can make a request a success.
SUCCESS_EVENTS = ("complete", "progress")
# What viewers did before the release, to take their habits out of the comparison (CUPED).
HISTORY_MS = DAY
_NO_ROW = -1  # stands for the row of a request id that is not stored


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


class Rows(Kept, Protocol):
    """Exposures and interactions around one release: in the main store, or in an exported file."""

    def known(self, release_id: str) -> list[tuple[int, Known]]:
        """Time of each look taken so far and what it knew, in order."""
        ...

    def exposures(
        self, release_id: str, after_row: int, up_to_row: int | None, roster: Roster
    ) -> tuple[RequestRows, int]:
        """The exposures of a release within rows, and the number of the last (`after_row` if none).

        Their viewers are enrolled in `roster`.
        """
        ...

    def interactions(
        self, first_ms: int, last_ms: int, up_to_row: int | None
    ) -> tuple[InteractionColumns, int]:
        """What was received between two times, both included, and the last row stored of all interactions."""
        ...

    def history(self, plan: ReleasePlan, started_ms: int) -> History:
        """What each viewer did before a release."""
        ...


class DatabaseRows:
    """`Rows` in the main store: an exposure's key is the number of its row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, release_id: str) -> list[tuple[int, Known]]:
        with self._database.read() as connection:
            return [
                (at_ms, Known.from_json(known)) for at_ms, known in known_at_looks(connection, release_id)
            ]

    def exposures(
        self, release_id: str, after_row: int, up_to_row: int | None, roster: Roster
    ) -> tuple[RequestRows, int]:
        with self._database.read_together() as connections:
            rows = _joined(numbers_of_release(connections, roster.enrol, release_id, after_row, up_to_row))
        return rows, int(rows.key[-1]) if rows.size else after_row

    def interactions(
        self, first_ms: int, last_ms: int, up_to_row: int | None = None
    ) -> tuple[InteractionColumns, int]:
        with self._database.read() as connection:
            columns = interactions_between(
                connection, first_ms, last_ms, SUCCESS_EVENTS, up_to_row, in_order=False
            )
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

    def shown(self, keys: Keys) -> Lists:
        return list(chain.from_iterable(self._database.read_in_parts(items_of, keys.tolist())))

    def request_ids(self, keys: Keys) -> Sequence[str]:
        return list(chain.from_iterable(self._database.read_in_parts(request_ids_of, keys.tolist())))

    def named(self, request_ids: Objects) -> tuple[Keys, Lists | None]:
        wanted = request_ids.tolist()
        rows: dict[str, int] = {}
        lists: dict[str, str] = {}
        for some_rows, some_lists in self._database.read_in_parts(rows_and_items_of, wanted):
            rows |= some_rows
            lists |= some_lists
        known = np.array([rows.get(request_id, _NO_ROW) for request_id in wanted], np.int64)
        return known, [lists.get(request_id, "[]") for request_id in wanted]

    def history(self, plan: ReleasePlan, started_ms: int) -> History:
        first_ms = started_ms - HISTORY_MS
        roster = Roster()
        exposures = self.exposures_between(first_ms, started_ms - plan.window_ms, roster)
        events, _ = self.interactions(first_ms, started_ms)
        return history(plan, exposures, events, started_ms, self, roster)

    def exposures_between(self, first_ms: int, last_ms: int, roster: Roster) -> RequestRows:
        """What was served between two times, both included, of whatever release."""
        with self._database.read() as connection:
            return _joined(list(numbers_between(connection, roster.enrol, first_ms, last_ms)))


def _joined(held: Sequence[Numbers]) -> RequestRows:
    """Portions of stored exposures, end to end."""

    def column(name: str, dtype: type = np.int64) -> np.ndarray[Any, Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(portion, name) for portion in held)])

    rows, stage, flags = column("row"), column("stage"), column("flags")
    true = {name: flags & bit > 0 for name, bit in FLAGS.items()}
    return RequestRows(
        key=rows,
        viewer=column("viewer"),
        served_ms=column("served_ms"),
        items=rows,
        stage=stage,
        counted=(stage > 0) & ~true.pop("forced"),
        latency_ms=column("latency_ms", np.float64),
        succeeded=np.zeros(rows.size, np.bool_),
        **true,
    )
