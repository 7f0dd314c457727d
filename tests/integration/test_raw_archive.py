"""The raw archive: every accepted event once, by day, whoever is killed wherever; read back as batch engines do."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, QueryBuilder

from core.clock import DAY, ManualClock
from core.errors import ConflictError, RefusedError
from core.events import TOPIC_INTERACTIONS
from deploy.retention import apply_retention
from ingest.archiving import Archived, archive_new, archived_offsets
from ingest.audit import audit
from storage.event_log import Message, TopicPartition
from storage.raw_archive import RawArchive, open_raw_archive
from storage.removal import remove_viewer
from tests.ingest_platform import Platform, platform
from tests.ingest_support import NOW, event, logged, messages

ROOT = Path(__file__).parents[2]
WHERE = TopicPartition(TOPIC_INTERACTIONS, 0)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path) as made:
        yield made


@pytest.fixture
def archive(here: Platform) -> Iterator[RawArchive]:
    with open_raw_archive(here.home / "archive") as opened:
        yield opened


def stored(here: Platform, numbers: range) -> None:
    here.log.append(TOPIC_INTERACTIONS, messages(numbers, here.clock.now_ms()))
    here.read_all()


def read_back(folder: Path, query: str = "SELECT * FROM archive ORDER BY topic, partition, offset") -> Any:
    """Columns by name."""
    found = QueryBuilder().register("archive", DeltaTable(str(folder))).execute(query).read_all()
    return {name: [value.as_py() for value in found.column(name)] for name in found.column_names}


def test_every_event_is_there_once_as_it_was_stored(here: Platform, archive: RawArchive) -> None:
    stored(here, range(100))
    here.log.append(TOPIC_INTERACTIONS, [*messages(range(5), NOW), Message("k", b"{")])
    stored(here, range(100, 150))
    assert archive_new(here.database, archive, [TOPIC_INTERACTIONS], batch=60) == Archived(150, 3)
    assert archive_new(here.database, archive, [TOPIC_INTERACTIONS]) == Archived(0, 0)
    found, rows = read_back(here.home / "archive"), here.rows()
    for name in ("topic", "partition", "offset", "event_id"):
        assert found[name] == [getattr(row, name) for row in rows]
    for name in ("user_id", "video_id", "event_type", "request_id"):
        assert found[name] == [getattr(row.interaction, name) for row in rows]
    assert [round(at.timestamp() * 1_000) for at in found["received"]] == [
        row.interaction.received_ms for row in rows
    ]
    assert found["details"][3] == '{"rating":4}'


def test_retention_deletes_what_is_archived_and_nothing_else(here: Platform, archive: RawArchive) -> None:
    def retained(before_ms: int) -> tuple[int, int]:
        offsets = archived_offsets(here.database, archive, [TOPIC_INTERACTIONS])
        report = apply_retention(here.database, {"interactions": before_ms}, archived=offsets, batch=7)
        return report.rows["interactions"], report.unarchived

    later_ms = here.clock.now_ms() + DAY
    stored(here, range(20))
    assert retained(later_ms) == (0, 20)
    assert archive_new(here.database, archive, [TOPIC_INTERACTIONS]).events == 20
    stored(here, range(20, 50))
    assert retained(later_ms) == (20, 30)
    assert archive_new(here.database, archive, [TOPIC_INTERACTIONS]).events == 30
    assert retained(later_ms) == (30, 0)
    assert len(read_back(here.home / "archive")["offset"]) == 50
    assert audit(here.database, here.log).clean


def test_a_run_goes_on_where_the_last_one_ended_and_days_are_folders(
    here: Platform, archive: RawArchive
) -> None:
    for day in range(3):
        stored(here, range(day * 10, day * 10 + 10))
        assert archive_new(here.database, archive, [TOPIC_INTERACTIONS]).events == 10
        assert isinstance(here.clock, ManualClock)
        here.clock.move(DAY)
    assert archive.reached(WHERE) == 30
    by_day = read_back(
        here.home / "archive", "SELECT day, count(*) AS n FROM archive GROUP BY day ORDER BY day"
    )
    assert [str(day) for day in by_day["day"]] == ["2027-01-15", "2027-01-16", "2027-01-17"]
    assert by_day["n"] == [10, 10, 10]
    assert len(list((here.home / "archive").glob("day=2027-01-16"))) == 1


def test_offsets_without_an_event_are_no_commit(here: Platform, archive: RawArchive) -> None:
    here.log.append(TOPIC_INTERACTIONS, [Message("k", b"{")] * 5)
    here.read_all()
    assert archive_new(here.database, archive, [TOPIC_INTERACTIONS]) == Archived(0, 0)
    stored(here, range(5))
    assert archive_new(here.database, archive, [TOPIC_INTERACTIONS], batch=5) == Archived(5, 1)


def test_of_two_that_append_the_same_offsets_one_is_refused(here: Platform, archive: RawArchive) -> None:
    archive.append([logged(0, event(0))], WHERE, 0, 1)
    late = RawArchive(here.home / "archive")
    first = late.reached(WHERE)
    archive.append([logged(1, event(1))], WHERE, 1, 2)
    with pytest.raises(ConflictError, match="the same offsets"):
        late.append([logged(1, event(1))], WHERE, first, 2)
    assert read_back(here.home / "archive")["offset"] == [0, 1]


def test_a_second_process_on_the_machine_is_refused(here: Platform, archive: RawArchive) -> None:
    with pytest.raises(RefusedError, match="another process"), open_raw_archive(here.home / "archive"):
        pass


def test_a_viewer_is_forgotten_in_every_file_of_the_archive(here: Platform, archive: RawArchive) -> None:
    stored(here, range(170))
    archive_new(here.database, archive, [TOPIC_INTERACTIONS])
    assert archive.count_of_viewer("u3") == 10
    assert archive.remove_viewer("u3") == 10
    assert archive.remove_viewer("u3") == archive.count_of_viewer("u3") == 0
    assert "u3" not in read_back(here.home / "archive")["user_id"]
    files = [path for path in (here.home / "archive").rglob("*") if path.is_file()]
    assert {path.name for path in files if path.suffix == ".parquet"} == {
        Path(uri).name for uri in DeltaTable(str(here.home / "archive")).file_uris()
    }
    assert not any(b'"u3"' in path.read_bytes() for path in files if path.suffix == ".json")
    with here.database.begin() as connection:
        remove_viewer(connection, "u3")
    stored(here, range(170, 180))
    assert archive_new(here.database, archive, [TOPIC_INTERACTIONS]).events == 10


def test_killed_between_writing_and_committing_it_appends_nothing_twice(here: Platform) -> None:
    kill_archivers(here, kills=2)


@pytest.mark.long
def test_killed_many_times_it_appends_nothing_twice(here: Platform) -> None:
    kill_archivers(here, kills=50)


def kill_archivers(here: Platform, kills: int) -> None:
    """Archivers that die as soon as they have written a file, until one has died before its commit."""
    folder, sent, killed = here.home / "archive", 0, 0
    while killed < kills or not uncommitted(folder):
        assert killed < kills + 20, "no archiver died before its commit"
        stored(here, range(sent, sent + 40))
        sent += 40
        killed += archiver(here, "die") == -signal.SIGKILL
    assert archiver(here, "live") == 0
    assert read_back(folder)["offset"] == list(range(sent))


def archiver(here: Platform, fate: str) -> int:
    """The exit code of one life that appends 20 offsets at once."""
    command = [sys.executable, "-m", "tests.faults.archive_victim", str(here.home), "20", fate]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def uncommitted(folder: Path) -> set[str]:
    """Files of events that are no part of the table."""
    written = {path.name for path in folder.rglob("*.parquet")}
    return written - {Path(uri).name for uri in DeltaTable(str(folder)).file_uris()}
