"""Dead letters sent again: stored once each, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import DependencyError, InvalidInputError
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS, encode_event
from ingest.audit import audit
from ingest.documents import profiles_after
from ingest.replaying import ReplayTally, Selection, replay_dead_letters
from ingest.settings import IngestSettings
from storage.event_log import Message
from storage.exposures import exposures_between
from tests.ingest_platform import FaultyDatabase, Platform, fails, platform
from tests.ingest_support import NOW, event, messages

# A topic of lines that was taken for a topic of events, until the setting was repaired.
WRONG = IngestSettings(topics="lines=events")
RIGHT = IngestSettings(topics="lines=log_lines")
LINES = [b"2027-01-15T07:00:00,u1,GET /rate/v1=4", b"2027-01-15T07:00:01,u2,GET /data/m/v2/0.mpg"]
SHOWN = b"2027-01-15T07:00:02,u1,recommendation request h, status 200, result: v1, v2, 12 ms"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path) as made:
        made.log.append("lines", [Message(None, line) for line in (*LINES, SHOWN)])
        made.log.append(TOPIC_INTERACTIONS, [*messages(range(5)), Message("k", b"{")])
        made.log.append(TOPIC_EXPOSURES, [Message(None, b"[]")])
        made.read_all(WRONG)
        yield made


def replayed(here: Platform, dry_run: bool = False, **wanted: object) -> ReplayTally:
    return replay_dead_letters(
        here.database, here.log, here.clock, RIGHT.kinds, Selection(**wanted), dry_run=dry_run  # type: ignore[arg-type]
    )  # fmt: skip


def test_what_parses_by_now_is_stored_once_and_the_rest_stays_refused(here: Platform) -> None:
    tally = replayed(here)
    assert (tally.replayed, tally.still_refused) == ({"schema": 3}, {"malformed": 1, "exposures": 1})
    here.read_all(RIGHT)
    assert [row.interaction.user_id for row in here.rows("lines")] == ["u1", "u2"]
    with here.database.read() as connection:
        (shown,) = exposures_between(connection, 0, 2 * NOW)
    assert (shown.exposure.items, shown.exposure.forced) == (("v1", "v2"), True)
    report = audit(here.database, here.log, RIGHT.kinds)
    assert report.clean and report.waiting == 0, report.sentences()
    assert here.profiles() == profiles_after({}, [*here.rows(), *here.rows("lines")])


def test_a_letter_that_was_sent_again_is_not_sent_a_second_time(here: Platform) -> None:
    replayed(here)
    assert replayed(here).replayed == {}


def test_killed_before_it_has_marked_them_it_sends_them_twice_and_they_are_stored_once(
    here: Platform,
) -> None:
    failing = FaultyDatabase(here.database, after=fails(1, DependencyError("away")))
    with pytest.raises(DependencyError):
        replay_dead_letters(failing, here.log, here.clock, RIGHT.kinds, Selection())
    assert replayed(here).replayed == {"schema": 3}
    here.read_all(RIGHT)
    assert len(here.rows("lines")) == 2
    (lines,) = audit(here.database, here.log, ["lines"]).partitions
    assert (lines.clean, lines.account.stored, lines.account.duplicates) == (True, 3, 3)


def test_an_event_that_has_an_id_keeps_it_and_one_without_gets_one_of_its_place(here: Platform) -> None:
    sent = [encode_event(event(77)), encode_event(event(78, event_id=None))]
    here.log.append("rates", [Message("u", value) for value in sent])
    here.read_all(IngestSettings(topics="rates=like"))
    failing = FaultyDatabase(here.database, after=fails(1, DependencyError("away")))
    kinds = IngestSettings(topics="rates=rating").kinds
    with pytest.raises(DependencyError):
        replay_dead_letters(failing, here.log, here.clock, kinds, Selection(topic="rates"))
    replay_dead_letters(here.database, here.log, here.clock, kinds, Selection(topic="rates"))
    here.read_all()
    first, second = (row.interaction.event_id for row in here.rows()[-2:])
    assert first == "e77"
    assert str(second).startswith("dead-")
    assert audit(here.database, here.log).clean


def test_a_selection_is_of_a_reason_a_topic_and_a_number(here: Platform) -> None:
    assert replayed(here, dry_run=True, reason="exposures").still_refused == {"exposures": 1}
    assert replayed(here, dry_run=True, topic="lines", limit=2).replayed == {"schema": 2}
    with pytest.raises(InvalidInputError, match="topic 'nowhere' is none of lines, "):
        replayed(here, topic="nowhere")


def test_a_dry_run_sends_nothing(here: Platform) -> None:
    before = here.log.ends(TOPIC_INTERACTIONS)
    assert replayed(here, dry_run=True).replayed == {"schema": 3}
    assert here.log.ends(TOPIC_INTERACTIONS) == before
    assert replayed(here).replayed == {"schema": 3}


def test_a_topic_that_nobody_reads_any_more_stays_where_it_is(here: Platform) -> None:
    tally = replay_dead_letters(here.database, here.log, here.clock, IngestSettings().kinds, Selection())
    assert tally.still_refused == {"unknown_topic": 3, "malformed": 1, "exposures": 1}
