"""Dead letters once more: those that today's parser takes go through the event log again, each counted once.

Not straight into the tables: a real-time document has long gone past a letter's own offset, and would pass it
over. Sent again, an event keeps one event id however often that happens, so it is stored once; an exposure its
request id; and the id of a log line is a name of its content.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from core.clock import Clock
from core.errors import InvalidInputError
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS, Interaction, encode_event
from core.exposures import Exposure, encode_exposures
from ingest.parsing import parse_record
from ingest.topics import LOG_LINES
from storage.database import Database
from storage.dead_letters import DeadLetter, mark_replayed, waiting_dead_letters
from storage.event_log import EventLog, Message, Record
from storage.interactions import LoggedInteraction

BATCH: Final = 500

Sending = tuple[str, Message]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters: of one reason, of one topic, at most so many; None stands for all."""

    reason: str | None = None
    topic: str | None = None
    limit: int | None = None


@dataclass(slots=True)
class ReplayTally:
    """What became of the letters looked at: sent again (or only found fit to be), or refused still, and why."""

    replayed: Counter[str] = field(default_factory=Counter)  # by the reason they were refused for
    still_refused: Counter[str] = field(default_factory=Counter)  # by the reason of today

    def as_json(self) -> dict[str, Any]:
        return {
            "replayed": self.replayed.total(),
            "still_refused": self.still_refused.total(),
            "replayed_by_reason": dict(sorted(self.replayed.items())),
            "still_refused_by_reason": dict(sorted(self.still_refused.items())),
        }


def sending(letter: DeadLetter, kinds: Mapping[str, str]) -> Sending | str:
    """The topic and message with which a letter is sent again, or the reason for which it is refused still."""
    if letter.topic not in kinds:
        return "unknown_topic"
    place = (letter.topic, letter.partition, letter.offset)
    said = parse_record(Record(*place, letter.received_ms, None, letter.value), kinds[letter.topic])
    if isinstance(said, DeadLetter):
        return said.reason
    if kinds[letter.topic] == LOG_LINES:
        return letter.topic, Message(None, letter.value)
    if isinstance(said, LoggedInteraction):
        return TOPIC_INTERACTIONS, _event_again(said)
    if isinstance(said, tuple):
        return TOPIC_EXPOSURES, _exposures_again([row.exposure for row in said])
    return "tombstone"


def replay_dead_letters(
    database: Database,
    log: EventLog,
    clock: Clock,
    kinds: Mapping[str, str],
    selection: Selection,
    *,
    dry_run: bool = False,
) -> ReplayTally:
    """Send every selected letter again that parses by now, and mark it; the others stay as they are.

    Killed at any point and run again, nothing is counted twice: a batch is marked after the log has it.

    Args:
        kinds: topic -> how its records are parsed.

    Raises:
        InvalidInputError: the topic selected is not one of `kinds`.
        DependencyError: the log or the database did not answer; running again is right.
    """
    if selection.topic is not None and selection.topic not in kinds:
        raise InvalidInputError(f"topic {selection.topic!r} is none of {', '.join(sorted(kinds))}")
    tally = ReplayTally()
    for rows in _portions(database, selection):
        sendings = _sort_out(rows, kinds, tally)
        if sendings and not dry_run:
            _send(database, log, clock, sendings)
    return tally


def _portions(database: Database, selection: Selection) -> Iterator[list[tuple[int, DeadLetter]]]:
    after_row, left = 0, sys.maxsize if selection.limit is None else selection.limit
    while left > 0:
        with database.read() as connection:
            rows = waiting_dead_letters(
                connection,
                after_row,
                min(BATCH, left),
                reason=selection.reason,
                topic=selection.topic,
            )
        if not rows:
            return
        yield rows
        after_row, left = rows[-1][0], left - len(rows)


def _sort_out(
    rows: Sequence[tuple[int, DeadLetter]], kinds: Mapping[str, str], tally: ReplayTally
) -> dict[int, Sending]:
    sendings: dict[int, Sending] = {}
    for row, letter in rows:
        found = sending(letter, kinds)
        if isinstance(found, str):
            tally.still_refused[found] += 1
        else:
            sendings[row] = found
            tally.replayed[letter.reason] += 1
    return sendings


def _send(database: Database, log: EventLog, clock: Clock, sendings: Mapping[int, Sending]) -> None:
    by_topic: defaultdict[str, list[Message]] = defaultdict(list)
    for topic, message in sendings.values():
        by_topic[topic].append(message)
    for topic, messages in by_topic.items():
        log.append(topic, messages)
    with database.begin() as connection:
        mark_replayed(connection, list(sendings), clock.now_ms())


def _event_again(row: LoggedInteraction) -> Message:
    event: Interaction = row.interaction
    if event.event_id is None:
        # A name of the position, so that the second sending of one letter is known as the first.
        place = hashlib.sha256(f"{row.topic}:{row.partition}:{row.offset}".encode()).hexdigest()[:32]
        event = msgspec.structs.replace(event, event_id=f"dead-{place}")
    return Message(event.user_id, encode_event(event))


def _exposures_again(batch: list[Exposure]) -> Message:
    return Message(None, encode_exposures(batch))
