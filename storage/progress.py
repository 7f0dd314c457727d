"""What became of every offset: the account that proves that nothing was lost and nothing counted twice.

The row of a partition moves in the transaction that stores the records, so it can never say more or less
than what is stored. At every instant `next_offset - first_offset` equals the sum of its five counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from sqlalchemy import Connection, bindparam, select, update

from storage.batches import insert_new
from storage.event_log import TopicPartition
from storage.tables import ingest_progress

Fate = Literal["stored", "duplicate", "dead", "tombstone"]


@dataclass(frozen=True, slots=True)
class ProgressDelta:
    """What became of each offset that was read: its row is stored, another row has its event id, it is a
    dead letter, or it was a tombstone."""

    fates: Mapping[int, Fate]


@dataclass(frozen=True, slots=True)
class Progress:
    """The account of one partition. `skipped` counts offsets the log never gave us, `removed` those of the
    stored ones whose rows were deleted on purpose since."""

    first_offset: int
    next_offset: int
    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    tombstones: int = 0
    skipped: int = 0
    removed: int = 0

    @property
    def read(self) -> int:
        """Records read, each counted once however often it was delivered."""
        return self.stored + self.duplicates + self.dead + self.tombstones

    @property
    def kept(self) -> int:
        """Stored offsets that still have a row."""
        return self.stored - self.removed

    @property
    def balanced(self) -> bool:
        """Whether every offset from the first to the next is accounted for."""
        return self.next_offset - self.first_offset == self.read + self.skipped


_COUNTS: Final = ("stored", "duplicates", "dead", "tombstones", "skipped")
_STARTED: Final = ("topic", "partition", "first_offset", "next_offset", *_COUNTS)
_COLUMNS: Final = (*_STARTED, "removed")


def advance(progress: Progress, delta: ProgressDelta) -> Progress:
    """The account after `delta`; offsets that are already in it (a replay) change nothing."""
    new = {offset: fate for offset, fate in delta.fates.items() if offset >= progress.next_offset}
    if not new:
        return progress
    next_offset = max(new) + 1
    count = Counter(new.values())
    return replace(
        progress,
        next_offset=next_offset,
        stored=progress.stored + count["stored"],
        duplicates=progress.duplicates + count["duplicate"],
        dead=progress.dead + count["dead"],
        tombstones=progress.tombstones + count["tombstone"],
        skipped=progress.skipped + (next_offset - progress.next_offset) - len(new),
    )


def advance_progress(
    connection: Connection, deltas: Mapping[TopicPartition, ProgressDelta]
) -> dict[TopicPartition, Progress]:
    """Add to the accounts, in the transaction that stored the records; the accounts afterwards."""
    filled = {where: delta for where, delta in sorted(deltas.items()) if delta.fates}
    starts = [(*where, min(delta.fates), min(delta.fates), 0, 0, 0, 0, 0) for where, delta in filled.items()]
    insert_new(connection, ingest_progress, _STARTED, starts)
    before = progress_of(connection, filled, lock=True)
    after = {where: advance(before[where], delta) for where, delta in filled.items()}
    changed = [_parameters(where, row) for where, row in after.items() if row != before[where]]
    if changed:
        connection.execute(_UPDATE, changed)
    return after


def progress_of(
    connection: Connection, partitions: Iterable[TopicPartition], *, lock: bool = False
) -> dict[TopicPartition, Progress]:
    """The accounts of these partitions, where there are any."""
    found: dict[TopicPartition, Progress] = {}
    for topic, partition in partitions:
        t = ingest_progress.c
        query = select(*(t[name] for name in _COLUMNS)).where(t.topic == topic, t.partition == partition)
        for row in connection.execute(query.with_for_update() if lock else query):
            found[TopicPartition(*row[:2])] = Progress(*row[2:])
    return found


def accounted_offsets(connection: Connection, topic: str) -> dict[int, Progress]:
    """The account of every partition of a topic, for an audit against the log's ends."""
    t = ingest_progress.c
    query = select(*(t[name] for name in _COLUMNS[1:])).where(t.topic == topic).order_by(t.partition)
    return {row[0]: Progress(*row[1:]) for row in connection.execute(query)}


def count_removed(connection: Connection, offsets: Mapping[TopicPartition, int]) -> None:
    """Note how many stored offsets lose their rows, in the transaction that deletes them."""
    t = ingest_progress.c
    for (topic, partition), count in sorted(offsets.items()):
        changed = update(ingest_progress).where(t.topic == topic, t.partition == partition)
        connection.execute(changed.values(removed=t.removed + count))


_UPDATE: Final = (
    update(ingest_progress)
    .where(
        ingest_progress.c.topic == bindparam("of_topic"),
        ingest_progress.c.partition == bindparam("of_partition"),
    )
    .values({name: bindparam(name) for name in ("next_offset", *_COUNTS)})
)


def _parameters(where: TopicPartition, row: Progress) -> dict[str, object]:
    counts = {name: getattr(row, name) for name in ("next_offset", *_COUNTS)}
    return {"of_topic": where.topic, "of_partition": where.partition, **counts}
