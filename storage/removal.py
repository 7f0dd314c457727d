"""Rows deleted on purpose: what is too old, and what is a viewer's. The account notes it, so the audit still proves.

Interactions and exposures are the only tables that grow with traffic and name viewers; a dead letter may hold
a viewer's words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
    update,
)

from storage.event_log import LogPosition, TopicPartition
from storage.exposures import exposure_positions
from storage.progress import count_removed, progress_of
from storage.tables import dead_letters, exposures, interactions

Kind = Literal["interactions", "exposures"]
Offsets = Mapping[TopicPartition, int]

FORGOTTEN: Final = "forgotten"
_AT_ONCE: Final = 1_000
_TABLES: Final[dict[Kind, tuple[Table, Any]]] = {
    "interactions": (interactions, interactions.c.received_ms),
    "exposures": (exposures, exposures.c.served_ms),
}


@dataclass(frozen=True, slots=True)
class ViewerRows:
    """How many rows of a viewer there are, or were deleted."""

    interactions: int = 0
    exposures: int = 0
    dead_letters: int = 0


def count_older(connection: Connection, kind: Kind, before_ms: int, only: Offsets | None = None) -> int:
    """Rows that the server received, or served, before a time; `only` those below these offsets."""
    table, time = _TABLES[kind]
    query = select(func.count()).select_from(table).where(time < before_ms, _below(table, only))
    return connection.execute(query).scalar_one()


def remove_older(
    connection: Connection, kind: Kind, before_ms: int, limit: int, only: Offsets | None = None
) -> int:
    """Delete at most `limit` rows (up to 30,000) of `count_older`, the oldest first; how many."""
    table, time = _TABLES[kind]
    t = table.c
    oldest = connection.execute(
        select(t.row_id).where(time < before_ms, _below(table, only)).order_by(time).limit(limit)
    ).scalars()
    (removed,) = _remove(connection, (table, t.row_id.in_(oldest.all())))
    return removed


def _below(table: Table, offsets: Offsets | None) -> ColumnElement[bool]:
    if offsets is None:
        return true()
    t = table.c
    parts = [
        and_(t.topic == topic, t.partition == partition, t.offset < offset)
        for (topic, partition), offset in offsets.items()
    ]
    return or_(false(), *parts)


def count_of_viewer(connection: Connection, user_id: str) -> ViewerRows:
    """What the tables hold of a viewer."""

    def count(table: Table) -> int:
        query = select(func.count()).select_from(table).where(table.c.user_id == user_id)
        return connection.execute(query).scalar_one()

    return ViewerRows(count(interactions), count(exposures), len(_letters_of(connection, user_id)))


def viewers_without_rows(connection: Connection, user_ids: Iterable[str]) -> list[str]:
    """Those of whom there is neither an interaction nor an exposure."""
    left = sorted(user_ids)
    for table in (interactions, exposures):
        known: set[str] = set()
        for first in range(0, len(left), _AT_ONCE):
            asked = table.c.user_id.in_(left[first : first + _AT_ONCE])
            known.update(connection.execute(select(table.c.user_id).where(asked).distinct()).scalars())
        left = [user_id for user_id in left if user_id not in known]
    return left


def remove_viewer(connection: Connection, user_id: str) -> ViewerRows:
    """Delete a viewer's interactions and exposures, and empty the dead letters that name the viewer.

    A dead letter keeps its row, because the account counts it; what it said is gone.
    """
    letters = _letters_of(connection, user_id)
    if letters:
        emptied = {"reason": FORGOTTEN, "message": "", "value": b""}
        connection.execute(update(dead_letters).where(dead_letters.c.row_id.in_(letters)).values(emptied))
    choices = [(table, table.c.user_id == user_id) for table in (interactions, exposures)]
    events, shown = _remove(connection, *choices)
    return ViewerRows(events, shown, len(letters))


def _remove(connection: Connection, *choices: tuple[Table, ColumnElement[bool]]) -> list[int]:
    """Delete the rows chosen of each table; how many went, by table."""
    places: set[TopicPartition] = set()
    for table, chosen in choices:
        query = select(table.c.topic, table.c.partition).where(chosen).distinct()
        places |= {TopicPartition(*place) for place in connection.execute(query)}
    # All accounts are locked first and in the reader's order, and nothing is deleted elsewhere: else two could
    # wait for each other.
    progress_of(connection, sorted(places), lock=True)
    return [_delete(connection, table, chosen, places) for table, chosen in choices]


def _delete(
    connection: Connection, table: Table, chosen: ColumnElement[bool], places: set[TopicPartition]
) -> int:
    """Counts what was really deleted: somebody else may have deleted some of the rows a moment ago."""
    t = table.c
    locked = chosen & tuple_(t.topic, t.partition).in_([tuple(place) for place in places])
    deleted = connection.execute(delete(table).where(locked).returning(t.topic, t.partition, t.offset)).all()
    positions = {LogPosition(*row) for row in deleted}
    if table is exposures:  # a record holds many, and its offset is without a row once the last is gone
        positions -= exposure_positions(connection, positions)
    count_removed(connection, Counter(TopicPartition(p.topic, p.partition) for p in positions))
    return len(deleted)


def _letters_of(connection: Connection, user_id: str) -> list[int]:
    """Row numbers of the dead letters that name the viewer.

    Read here and not searched in SQL: the two databases have no common way to look into bytes.
    """
    t, named = dead_letters.c, names_viewer(user_id)
    query = select(t.row_id, t.value).where(func.length(t.value) > 0).execution_options(yield_per=1_000)
    return [row_id for row_id, value in connection.execute(query) if named(bytes(value))]


def names_viewer(user_id: str) -> Callable[[bytes], bool]:
    """Whether a refused value is about this viewer: as a JSON member `user...`, or as the second field of a line."""
    word = re.escape(user_id.encode())
    member = rb'"user[A-Za-z_]*"\s*:\s*"?' + word + rb"(?![A-Za-z0-9_.:@~-])"
    field = rb"(?:^|\n)[^,\n]{1,64}," + word + rb","
    pattern = re.compile(member + rb"|" + field)
    return lambda value: pattern.search(value) is not None
