"""F1, F2 and their neighbours: a reader killed at every kind of point, again and again: 0 lost, 0 duplicated."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.clock import SystemClock
from ingest.audit import audit
from tests.faults.reader_victim import FAULTS
from tests.faults.real_platform import Place, new_place, opened_at
from tests.ingest_platform import opened, platform

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_killed_5_times_loses_nothing_and_counts_nothing_twice(tmp_path: Path, fault: str) -> None:
    kill_and_audit(tmp_path, fault, 5)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_killed_200_times_loses_nothing_and_counts_nothing_twice(tmp_path: Path, fault: str) -> None:
    kill_and_audit(tmp_path, fault, 200)


ON_SERVERS = FAULTS[:2]


@pytest.mark.kafka
@pytest.mark.postgresql
@pytest.mark.parametrize("fault", ON_SERVERS)
def test_f1_f2_between_kafka_and_postgresql_3_kills(
    tmp_path: Path, kafka_servers: str, postgresql_database: str, fault: str
) -> None:
    kill_on_servers(new_place(tmp_path, kafka_servers, postgresql_database, 1_000), fault, 3)


@pytest.mark.kafka
@pytest.mark.postgresql
@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("fault", ON_SERVERS)
def test_f1_f2_between_kafka_and_postgresql_200_kills(
    tmp_path: Path, kafka_servers: str, postgresql_database: str, fault: str
) -> None:
    kill_on_servers(new_place(tmp_path, kafka_servers, postgresql_database, 1_000), fault, 200)


def kill_on_servers(place: Place, fault: str, kills: int) -> None:
    told = killed(fault, kills, place.home, place.servers, place.url, place.topic, place.session_ms)
    with opened_at(place) as here:
        report = here.audited()
        print(f"{told}: {report.sentences()[-1]}")
        assert told["killed"] == kills
        here.assert_exactly(range(told["sent"]), dead=told["lives"])
        assert sum(part.account.duplicates for part in report.partitions) == 2 * (told["lives"] - 1)


def killed(fault: str, kills: int, *where: object) -> dict[str, Any]:
    """What the victims told about their deaths."""
    command = [sys.executable, "-m", "tests.faults.reader_victim", fault, str(kills), "1", *map(str, where)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=3_500)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def kill_and_audit(home: Path, fault: str, kills: int) -> None:
    with platform(home, SystemClock()):
        """Only made: the victims open it themselves."""
    told = killed(fault, kills, home)
    with opened(home, SystemClock()) as here:
        report = audit(here.database, here.log)
        stored = [row.interaction.event_id for row in here.rows()]
        here.assert_documents_follow()
    print(f"{told}: {report.sentences()[-1]}")
    assert told["killed"] == kills
    assert report.clean and report.waiting == 0, report.sentences()
    assert stored == [f"e{number}" for number in range(told["sent"])]
    account = report.partitions[0].account
    assert (account.stored, account.dead) == (told["sent"], told["lives"])
    assert account.duplicates == 2 * (told["lives"] - 1)
