"""F3, F11 to F15: what PostgreSQL does to a reader of Kafka; nothing is lost, nothing counted twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest.health import reader_readiness
from ingest.limits import DeadLetterLimitError
from ingest.reader import Reader
from storage.database import Database
from storage.dead_letters import count_reasons
from storage.event_log import Message
from tests.faults.real_platform import (
    RealPlatform,
    adversary,
    counted,
    execute,
    new_place,
    opened_at,
    running,
)
from tests.ingest_platform import FaultyDatabase
from tests.servers import Server, postgresql_url
from tests.support import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql]

BAD = Message("k", b"{")
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
SOMEBODY_WAITS = (
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE datname = current_database() AND NOT granted"
)


def problems(reader: Reader, real: RealPlatform) -> dict[str, str]:
    return dict(reader_readiness(reader.state, real.clock, 60_000).problems)


def at(calls: set[int], fault: Callable[[], None]) -> Callable[[], None]:
    """A fault that happens at these calls, counted from 1."""
    call = [0]

    def meet() -> None:
        call[0] += 1
        if call[0] in calls:
            fault()

    return meet


@pytest.mark.parametrize("stops", [3, pytest.param(20, marks=pytest.mark.long)])
def test_f3_postgresql_stops_at_once_in_mid_transaction(
    real: RealPlatform, postgresql_server: Server, stops: int
) -> None:
    stopped = [0]

    def stop_and_start() -> None:
        if stopped[0] < stops:
            stopped[0] += 1
            postgresql_server.stop(signal.SIGQUIT)
            postgresql_server.start()

    real.send(range(stops * 50))
    settings = real.place.settings.model_copy(update={"batch_records": 40})
    reader = real.reader(settings, database=FaultyDatabase(real.database, after=stop_and_start))
    real.read_up(reader)
    print(f"{stopped[0]} immediate stops, {counted(reader, 'retries_total', step='store'):.0f} retries")
    assert stopped[0] == stops == counted(reader, "retries_total", step="store")
    real.assert_exactly(range(stops * 50))


def test_f11_a_terminated_backend_costs_one_retry(real: RealPlatform) -> None:
    real.send(range(500), [BAD])
    terminate = at({3}, lambda: execute(real.place.url, END_OTHERS))
    reader = real.reader(database=FaultyDatabase(real.database, after=terminate))
    real.read_up(reader)
    assert counted(reader, "retries_total", step="store") == 1
    real.assert_exactly(range(500), dead=1)


def test_f12_a_deadlock_is_retried_and_makes_no_dead_letter(real: RealPlatform) -> None:
    real.send(range(50))
    real.read_up(real.reader())
    real.send(range(50, 100), [BAD])
    stop = threading.Event()
    reader = real.reader(stop=stop)
    with adversary(real.place.url) as other:
        other.execute("SET deadlock_timeout = '1h'")  # the reader's session finds the deadlock, and gives way
        other.execute("LOCK TABLE output.dead_letters IN ACCESS EXCLUSIVE MODE")
        with running(reader, stop):
            wait_for_a_waiting_session(real)
            other.execute(
                "SELECT 1 FROM activity.ingest_progress FOR UPDATE"
            )  # the cycle; ends when one gives way
            wait_until(
                lambda: "deadlock" in problems(reader, real).get("dependencies", ""), 30, "the deadlock"
            )
            other.connection.rollback()
            wait_until(lambda: real.waiting() == 0, 60, "the end")
    assert counted(reader, "retries_total", step="store") >= 1
    real.assert_exactly(range(100), dead=1)


class TunedDatabase(FaultyDatabase):
    """A database whose writing transactions begin with a statement of ours."""

    def __init__(self, inner: Database, statement: str) -> None:
        super().__init__(inner)
        self._statement = statement

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with super().begin() as connection:
            connection.exec_driver_sql(self._statement)
            yield connection


def test_f12_a_serialization_failure_is_retried(real: RealPlatform) -> None:
    real.send(range(50))
    real.read_up(real.reader())
    real.send(range(50, 100))
    stop = threading.Event()
    strict = TunedDatabase(real.database, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    reader = real.reader(stop=stop, database=strict)
    with adversary(real.place.url) as other:
        other.execute("UPDATE activity.ingest_progress SET stored = stored")
        with running(reader, stop):
            wait_for_a_waiting_session(real)
            other.connection.commit()
            wait_until(lambda: real.waiting() == 0, 60, "the end")
    assert counted(reader, "retries_total", step="store") >= 1
    real.assert_exactly(range(100))


def test_f12_a_lock_timeout_is_retried(real: RealPlatform) -> None:
    real.send(range(50), [BAD])
    stop = threading.Event()
    reader = real.reader(stop=stop, database=TunedDatabase(real.database, "SET LOCAL lock_timeout = '100ms'"))
    with adversary(real.place.url) as other:
        other.execute("LOCK TABLE output.dead_letters IN ACCESS EXCLUSIVE MODE")
        with running(reader, stop):
            wait_until(
                lambda: "lock timeout" in problems(reader, real).get("dependencies", ""), 60, "the timeout"
            )
            other.connection.rollback()
            wait_until(lambda: real.waiting() == 0, 60, "the end")
    real.assert_exactly(range(50), dead=1)


def wait_for_a_waiting_session(real: RealPlatform) -> None:
    def waits() -> bool:
        with real.database.read() as connection:
            return bool(connection.exec_driver_sql(SOMEBODY_WAITS).scalar_one())

    wait_until(waits, 60, "the reader waiting for a lock")


@contextmanager
def disk_of_its_own(folder: Path) -> Iterator[Callable[[int], None]]:
    """A file system at `folder`; what it yields leaves so many kilobytes free."""

    def mount(free: int, *options: str) -> None:
        size = shutil.disk_usage(folder).used // 1024 + free if options == ("remount",) else free
        what = ["-o", ",".join([*options, f"size={size}k"]), "tmpfs", str(folder)]
        subprocess.run(["mount", "-t", "tmpfs", *what], check=True, capture_output=True)

    folder.mkdir()
    owner = folder.parent.stat()
    try:
        mount(100_000, f"uid={owner.st_uid}", f"gid={owner.st_gid}")
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("no right to mount a file system")
    try:
        yield lambda free: mount(free, "remount")
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def test_f13_a_full_disk_pauses_the_reader_and_it_goes_on_when_there_is_room(
    real: RealPlatform, postgresql_server: Server, tmp_path: Path
) -> None:
    disk = postgresql_server.folder / f"disk-{real.place.topic}"
    database = f"full_{real.place.topic.rpartition('-')[2]}"
    url = postgresql_url(postgresql_server, database)
    with disk_of_its_own(disk) as leave_free:
        execute(postgresql_url(postgresql_server), f"CREATE TABLESPACE {database} LOCATION '{disk}'")
        execute(postgresql_url(postgresql_server), f"CREATE DATABASE {database} TABLESPACE {database}")
        try:
            with opened_at(new_place(tmp_path, real.place.servers, url)) as here:
                fill_and_make_room(here, leave_free)
        finally:
            execute(postgresql_url(postgresql_server), f"DROP DATABASE {database} WITH (FORCE)")
            execute(postgresql_url(postgresql_server), f"DROP TABLESPACE {database}")


def fill_and_make_room(here: RealPlatform, leave_free: Callable[[int], None]) -> None:
    stop = threading.Event()
    here.send(range(10_000))
    leave_free(600)
    settings = here.place.settings.model_copy(update={"batch_records": 1_000})
    reader = here.reader(settings, stop=stop)
    with running(reader, stop):
        wait_until(
            lambda: "No space left" in problems(reader, here).get("dependencies", ""), 60, "a full disk"
        )
        paused = here.audited()
        assert paused.clean and 0 < paused.waiting < 10_000, paused.sentences()  # a whole prefix is stored
        leave_free(100_000)
        wait_until(lambda: here.waiting() == 0, 60, "the end")
        wait_until(lambda: not problems(reader, here), 30, "being ready again")
    here.assert_exactly(range(10_000))


def test_f14_dead_letters_that_cannot_be_written_hold_the_reader(real: RealPlatform) -> None:
    execute(real.place.url, "ALTER TABLE output.dead_letters RENAME TO away")
    real.send(range(5), [BAD])
    stop = threading.Event()
    reader = real.reader(stop=stop)
    with running(reader, stop):
        wait_until(
            lambda: "dead_letters" in problems(reader, real).get("dependencies", ""), 60, "the problem"
        )
        execute(real.place.url, "ALTER TABLE output.away RENAME TO dead_letters")
        wait_until(lambda: real.waiting() == 0, 60, "the end")
    real.assert_exactly(range(5), dead=1)


def test_f15_when_everything_is_invalid_the_reader_stops_with_a_reason(real: RealPlatform) -> None:
    real.send([], [BAD] * 300)
    settings = real.place.settings.model_copy(update={"dead_letter_limit": 50})
    with pytest.raises(DeadLetterLimitError, match="malformed"):
        real.reader(settings).run()
    with real.database.read() as connection:
        assert count_reasons(connection) == {}
    assert real.waiting() == 300  # not one was dropped
    real.read_up(real.reader())
    real.assert_exactly([], dead=300)
