"""How many requests each arm has answered in a release: counted on, never counted again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, func, select

from storage.tables import exposures

ARMS: Final = ("canary", "main")


@dataclass(frozen=True, slots=True)
class ExposureCounts:
    """Requests by the arm that was assigned, up to row `row`.

    `assigned`: all of them but the forced ones. `helped`: those of them that another arm had to answer.
    """

    row: int = 0
    assigned: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(ARMS, 0))
    helped: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(ARMS, 0))


def count_exposures(connection: Connection, release_id: str, since: ExposureCounts) -> ExposureCounts:
    """The counts of a release, going on from `since`; requests outside the comparison (stage 0) are left out."""
    t = exposures.c
    query = (
        select(t.arm_assigned, t.arm_served, func.count(), func.max(t.row_id))
        .where(t.release_id == release_id, t.row_id > since.row, t.stage > 0, t.forced.is_(False))
        .group_by(t.arm_assigned, t.arm_served)
    )
    row, assigned, helped = since.row, dict(since.assigned), dict(since.helped)
    for arm, served, count, last in connection.execute(query):
        row = max(row, last)
        assigned[arm] = assigned.get(arm, 0) + count
        helped[arm] = helped.get(arm, 0) + (count if served != arm else 0)
    return ExposureCounts(row, assigned, helped)
