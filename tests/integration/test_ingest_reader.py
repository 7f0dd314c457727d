"""The reader on the embedded log, SQLite and the embedded serving store: its promises, one test each."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.errors import DependencyError, InvalidInputError
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.exposures import encode_exposures
from ingest.audit import audit
from ingest.documents import profiles_after, trending_after, trending_rows
from ingest.following import follow
from ingest.health import reader_liveness, reader_readiness
from ingest.lag import measure_lag
from ingest.limits import DeadLetterLimitError
from ingest.loading import HistoryRow, load_history, publish_catalogue
from ingest.settings import IngestSettings
from storage.dead_letters import count_reasons, list_dead_letters
from storage.event_log import Message
from storage.exposures import exposures_between
from storage.serving_store import USER_REALTIME_PROFILE, VIDEO_CATALOG
from storage.videos import Video, all_videos
from tests.ingest_platform import (
    FaultyDatabase,
    FaultyEventLog,
    FaultyServingStore,
    Platform,
    fails,
    opened,
    platform,
)
from tests.ingest_support import NOW, event, exposure, logged, messages

AWAY = DependencyError("away")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path) as made:
        yield made


def counted(reader: object, name: str, **labels: str) -> float:
    return reader.metrics.registry.get_sample_value(name, labels) or 0  # type: ignore[attr-defined]


def test_events_reach_sql_and_the_documents(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(300)))
    reader = here.read_all()
    assert [row.interaction.event_id for row in here.rows()] == [f"e{n}" for n in range(300)]
    assert len(here.profiles()) == 17 and here.trending()
    here.assert_documents_follow()
    assert (
        counted(reader, "understudy_reader_records_total", topic=TOPIC_INTERACTIONS, result="stored") == 300
    )
    assert reader.state.lag is not None and reader.state.lag.total == 0


def test_two_readers_of_one_viewer_lose_no_update_of_each_other(here: Platform) -> None:
    theirs = [logged(n, event(900 + n, user_id=f"u{n}"), partition=7) for n in range(3)]
    left = [USER_REALTIME_PROFILE]

    def the_other_is_quicker(collection: str) -> None:
        if collection in left:
            left.clear()
            follow(here.serving_store, theirs, here.clock.now_ms())

    here.log.append(TOPIC_INTERACTIONS, messages(range(100)))
    here.read_all(
        IngestSettings(retry_first_ms=1),
        serving_store=FaultyServingStore(here.serving_store, the_other_is_quicker),
    )
    rows = [*here.rows(), *theirs]
    assert here.profiles() == profiles_after({}, rows)
    assert here.trending() == trending_after({}, trending_rows(rows))


def test_every_kind_of_record_is_accounted_for(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages([1, 2, 1]))  # E23: the same event id twice is one row
    here.log.append(TOPIC_INTERACTIONS, [Message("k", b"{"), Message("k", None)])  # type: ignore[arg-type]
    here.log.append(TOPIC_EXPOSURES, [Message(None, encode_exposures([exposure("r1"), exposure("r2")]))] * 2)
    here.log.append(TOPIC_EXPOSURES, [Message(None, b"[]")])
    here.read_all()
    report = audit(here.database, here.log)
    assert report.clean, report.sentences()
    shown, read = sorted(report.as_json()["partitions"], key=lambda part: part["topic"])
    assert [read[k] for k in ("stored", "duplicates", "dead_letters", "tombstones")] == [2, 1, 1, 1]
    assert [shown[k] for k in ("stored", "duplicates", "dead_letters", "tombstones")] == [1, 1, 1, 0]
    with here.database.read() as connection:
        assert [row.exposure.request_id for row in exposures_between(connection, 0, 2 * NOW)] == ["r1", "r2"]
        assert count_reasons(connection) == {"exposures": 1, "malformed": 1}
        assert b"{" in {letter.value for letter in list_dead_letters(connection)}


def test_a_data_set_loaded_twice_is_stored_once(here: Platform) -> None:
    rows = [HistoryRow(f"u{n % 9}", f"v{n}", 3.5, NOW - n) for n in range(500)]
    load_history(here.log, rows, "sha256:abcdef01")
    here.read_all()
    before = here.profiles()
    load_history(here.log, rows, "sha256:abcdef01")
    assert measure_lag(here.database, here.log, [TOPIC_INTERACTIONS]).total == 500
    here.read_all()
    assert len(here.rows()) == 500
    assert here.profiles() == before
    assert audit(here.database, here.log).clean


def test_the_catalogue_is_in_both_stores(here: Platform) -> None:
    videos = [Video(f"v{n}", f"Title {n}", 1990 + n, ("Drama",), "", NOW) for n in range(3)]
    publish_catalogue(videos, here.database, here.serving_store)
    with here.database.read() as connection:
        assert all_videos(connection) == videos
    assert here.serving_store.get(VIDEO_CATALOG, "v1") == {
        "title": "Title 1",
        "year": 1991,
        "genres": ["Drama"],
        "added_ms": NOW,
    }


@pytest.mark.parametrize("step", ["poll", "store", "documents", "commit"])
def test_a_step_that_fails_is_repeated_and_the_reader_says_so_meanwhile(here: Platform, step: str) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(50)))
    said = []

    def fault(*_: object) -> None:
        said.append(reader.state.problem)
        failing()

    failing = fails(3, AWAY)
    parts = {
        "poll": {"log": FaultyEventLog(here.log, on_poll=fault)},
        "store": {"database": FaultyDatabase(here.database, after=fault)},
        "documents": {"serving_store": FaultyServingStore(here.serving_store, fault)},
        "commit": {"log": FaultyEventLog(here.log, on_commit=fault)},
    }[step]
    reader = here.reader(**parts)
    consumer = parts.get("log", here.log).consumer("understudy-reader", sorted(IngestSettings().kinds))
    assert reader.step(consumer) == 50
    assert said[:4] == [None, *[f"{step}: away"] * 3]
    assert reader.state.problem is None
    assert counted(reader, "understudy_reader_retries_total", step=step) == 3
    assert reader_readiness(reader.state, here.clock, 60_000).problems == {
        "started": "has not joined its consumer group yet"
    }
    assert len(here.rows()) == 50 and audit(here.database, here.log).clean
    here.assert_documents_follow()


def test_a_reader_that_hangs_says_so_and_lives_again_when_it_comes_round(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(5)))
    said = []

    def hang() -> None:
        here.clock.sleep(61)
        said.append(reader_liveness(reader.state, here.clock, 60_000))

    reader = here.reader(database=FaultyDatabase(here.database, after=hang))
    reader.step(here.consumer())
    assert "hung in one step" in str(said[0])
    assert reader_liveness(reader.state, here.clock, 60_000) is None


def test_an_error_that_no_repetition_mends_ends_the_reader_with_nothing_committed(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(5)))
    reader = here.reader(
        database=FaultyDatabase(here.database, after=fails(1, InvalidInputError("no column")))
    )
    with pytest.raises(InvalidInputError, match="no column"):
        reader.run()
    assert here.rows() == [] and here.profiles() == {}
    here.read_all()
    assert len(here.rows()) == 5


def test_asked_to_stop_it_finishes_its_batch_and_leaves(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(30)))
    stop = threading.Event()
    reader = here.reader(
        IngestSettings(batch_records=10), stop=stop, log=FaultyEventLog(here.log, on_commit=stop.set)
    )
    reader.run()
    assert len(here.rows()) == 10  # one batch: stored, committed, and no further one begun
    assert here.consumer().poll(100, 0)[0].offset == 10
    here.assert_documents_follow()


def test_asked_to_stop_while_something_is_away_it_stops_without_a_commit(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(30)))
    stop = threading.Event()

    def away(*_: object) -> None:
        stop.set()
        raise AWAY

    here.reader(stop=stop, serving_store=FaultyServingStore(here.serving_store, away)).run()
    assert here.consumer().poll(100, 0)[0].offset == 0
    here.read_all()
    assert len(here.rows()) == 30 and audit(here.database, here.log).clean
    here.assert_documents_follow()


def test_f4_and_f8_a_late_reader_changes_nothing_and_its_commit_is_refused(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(40)))
    paused, held = here.reader(), here.consumer()
    records = held.poll(20, 0)
    here.read_all()  # another reader has taken over, and read everything
    before = (here.rows(), here.profiles(), here.trending())
    paused.take(held, records)
    assert counted(paused, "understudy_reader_commits_refused_total") == 1
    assert (here.rows(), here.profiles(), here.trending()) == before
    assert here.consumer().poll(100, 0) == []
    assert audit(here.database, here.log).clean


def test_f9_a_log_trimmed_past_our_offset_is_counted_and_named(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(10)))
    here.read_all()
    here.log.append(TOPIC_INTERACTIONS, messages(range(10, 30)))
    with sqlite3.connect(here.home / "events.db") as file:
        file.execute("DELETE FROM records WHERE offset BETWEEN 10 AND 14")
    file.close()
    reader = here.read_all()
    assert counted(reader, "understudy_reader_skipped_records_total", topic=TOPIC_INTERACTIONS) == 5
    (part, _) = audit(here.database, here.log).partitions
    assert (part.clean, part.lost, part.without_row) == (False, 5, ((10, 14),))


def test_f14_dead_letters_that_cannot_be_written_hold_the_reader_and_drop_nothing(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, [*messages(range(5)), Message("k", b"{")])
    _rename(here, "dead_letters", "away")
    problems = []

    def bring_back() -> None:
        problems.append(reader_readiness(reader.state, here.clock, 60_000).problems.get("dependencies"))
        if len(problems) == 4:
            assert here.rows() == [] and here.profiles() == {}
            _rename(here, "away", "dead_letters")

    reader = here.reader(database=FaultyDatabase(here.database, before=bring_back))
    reader.step(here.consumer())
    assert problems[0] is None and "no such table" in str(problems[3])
    report = audit(here.database, here.log)
    assert report.clean and report.partitions[0].account.dead == 1


def _rename(here: Platform, table: str, to: str) -> None:
    with sqlite3.connect(here.home / "understudy.db") as file:
        file.execute(f"ALTER TABLE {table} RENAME TO {to}")
    file.close()


def test_f15_when_everything_is_invalid_the_reader_stops_with_a_reason(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, [Message("k", b"nonsense")] * 3_000)
    reader = here.reader(IngestSettings(dead_letter_limit=100))
    with pytest.raises(DeadLetterLimitError, match=r"2000 of the last 2000 records.*malformed"):
        reader.run()
    with here.database.read() as connection:
        assert count_reasons(connection) == {}
    assert measure_lag(here.database, here.log, [TOPIC_INTERACTIONS]).total == 3_000
    here.read_all(IngestSettings(dead_letter_limit=10_000))  # the operator has raised the limit
    assert audit(here.database, here.log).clean


def test_a_crash_between_sql_and_the_serving_store_loses_no_update(here: Platform) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(range(100)))
    crashing = here.reader(
        serving_store=FaultyServingStore(here.serving_store, fails(1, KeyboardInterrupt()))
    )  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        crashing.step(here.consumer())
    assert len(here.rows()) == 100 and here.profiles() == {}
    here.read_all()
    here.assert_documents_follow()


def test_a_reader_that_stands_by_is_not_stuck_while_the_other_works(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    settings = IngestSettings(batch_records=10, poll_ms=1)
    with platform(tmp_path, clock) as here, opened(tmp_path, clock) as there:
        here.log.append(TOPIC_INTERACTIONS, messages(range(1_000)))
        standing, standing_by = here.reader(settings), here.consumer()
        working, owning = there.reader(settings), there.consumer()
        for _ in range(5):
            assert working.step(owning) == 10
            assert standing.step(standing_by) == 0
            clock.move(5_000)
        assert clock.now_ms() - standing.state.progress_ms <= 5_000
        assert standing.state.lag is not None and standing.state.lag.total > 0
