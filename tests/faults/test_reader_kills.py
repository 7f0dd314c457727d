"""F1, F2 and their neighbours: a reader killed at every kind of point, again and again: 0 lost, 0 duplicated."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.clock import SystemClock
from ingest.audit import audit
from tests.faults.reader_victim import FAULTS
from tests.ingest_platform import opened, platform

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_killed_10_times_loses_nothing_and_counts_nothing_twice(tmp_path: Path, fault: str) -> None:
    kill_and_audit(tmp_path, fault, 10)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_killed_200_times_loses_nothing_and_counts_nothing_twice(tmp_path: Path, fault: str) -> None:
    kill_and_audit(tmp_path, fault, 200)


def kill_and_audit(home: Path, fault: str, kills: int) -> None:
    with platform(home, SystemClock()):
        """Only made: the victims open it themselves."""
    command = [sys.executable, "-m", "tests.faults.reader_victim", str(home), fault, str(kills), "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
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
