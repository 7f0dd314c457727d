"""How far the account of what was read is behind the event log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storage.database import Database
from storage.event_log import EventLog
from storage.progress import accounted_offsets


@dataclass(frozen=True, slots=True)
class Lag:
    """Records by topic that the log holds and the account does not; `accounted` grows with every record read."""

    records: Mapping[str, int]
    accounted: int

    @property
    def total(self) -> int:
        return sum(self.records.values())


def measure_lag(database: Database, log: EventLog, topics: Iterable[str]) -> Lag:
    """The lag of these topics now.

    Raises:
        DependencyError: the log or the database did not answer.
    """
    records: dict[str, int] = {}
    accounted = 0
    for topic in topics:
        ends = log.ends(topic)
        with database.read() as connection:
            accounts = accounted_offsets(connection, topic)
        known = {partition: account.next_offset for partition, account in accounts.items()}
        records[topic] = sum(max(0, end - known.get(where.partition, 0)) for where, end in ends.items())
        accounted += sum(known.values())
    return Lag(records, accounted)
