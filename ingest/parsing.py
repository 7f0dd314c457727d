"""A record of the event log as one of four values; nothing is raised, for a bad record is an ordinary case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.errors import InvalidEventError
from core.events import Interaction, parse_event
from core.exposures import Exposure, decode_exposures
from ingest.log_lines import parse_log_line
from ingest.topics import EVENTS, EXPOSURES, LOG_LINES
from storage.dead_letters import DeadLetter
from storage.event_log import LogPosition, Record, TopicPartition
from storage.exposures import LoggedExposure
from storage.interactions import LoggedInteraction


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A record without a value: the log's way to say that a key is gone. Counted, not stored."""

    position: LogPosition


Parsed = LoggedInteraction | tuple[LoggedExposure, ...] | DeadLetter | Tombstone


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one poll by what they are. `following` is, per partition, the next offset to read."""

    interactions: list[LoggedInteraction] = field(default_factory=list)
    exposures: list[LoggedExposure] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    following: dict[TopicPartition, int] = field(default_factory=dict)
    records: int = 0


def parse_record(record: Record, kind: str) -> Parsed:
    """What a record says. `kind` is one of `ingest.topics.KINDS`; received is when the log received it."""
    place = (record.topic, record.partition, record.offset)
    if record.value is None:
        return Tombstone(LogPosition(*place))
    try:
        content = _content(record, record.value, kind)
    except InvalidEventError as error:
        return DeadLetter(*place, error.reason, str(error)[:1_000], record.value, record.timestamp_ms)
    if isinstance(content, Interaction):
        return LoggedInteraction(*place, content)
    return tuple(LoggedExposure(*place, item, exposure) for item, exposure in enumerate(content))


def parse_batch(records: Iterable[Record], kinds: Mapping[str, str]) -> Batch:
    """The records of one poll, sorted by what they are, each list in the order of the log."""
    parsed = [(record, parse_record(record, kinds[record.topic])) for record in records]
    following: dict[TopicPartition, int] = {}
    for record, _ in parsed:
        where = TopicPartition(record.topic, record.partition)
        following[where] = max(record.offset + 1, following.get(where, 0))
    return Batch(
        interactions=[value for _, value in parsed if isinstance(value, LoggedInteraction)],
        exposures=[exposure for _, value in parsed if isinstance(value, tuple) for exposure in value],
        dead_letters=[value for _, value in parsed if isinstance(value, DeadLetter)],
        tombstones=[value for _, value in parsed if isinstance(value, Tombstone)],
        following=following,
        records=len(parsed),
    )


def _content(record: Record, value: bytes, kind: str) -> Interaction | list[Exposure]:
    if kind == EXPOSURES:
        return decode_exposures(value)
    if kind == LOG_LINES:
        said = parse_log_line(value, record.timestamp_ms)
        return said if isinstance(said, Interaction) else [said]
    return parse_event(value, record.timestamp_ms, None if kind == EVENTS else kind)
