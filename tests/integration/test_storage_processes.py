"""The embedded stores among processes, and after a SIGKILL: what was acknowledged is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from core.clock import SystemClock
from core.settings import child_environment
from storage.event_log_sqlite import SqliteEventLog
from storage.serving_store_sqlite import SqliteServingStore

WRITER = """
import sys
from pathlib import Path
from core.clock import SystemClock
from storage.event_log import Message
from storage.event_log_sqlite import SqliteEventLog
from storage.serving_store_sqlite import SqliteServingStore

log = SqliteEventLog(Path(sys.argv[1]) / "events.db", SystemClock())
store = SqliteServingStore(Path(sys.argv[1]) / "serving.db", SystemClock())
for i in range(100_000):
    log.append("t", [Message(sys.argv[2], f"{i}".encode())])
    store.put_many("c", {sys.argv[2]: {"i": i}})
    print(i, flush=True)
"""
ROOT = Path(__file__).parent.parent.parent


def acknowledged_before_the_kill(home: Path, *names: str) -> dict[str, int]:
    """Run one writer for each name, kill them all in mid-work; the last number that each acknowledged."""
    writers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), name],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=child_environment(),
            text=True,
        )
        for name in names
    }
    said = dict.fromkeys(names, "")
    try:
        for name, writer in writers.items():
            assert writer.stdout is not None
            said[name] = "".join(writer.stdout.readline() for _ in range(20))
    finally:
        for writer in writers.values():
            writer.kill()
    for name, writer in writers.items():
        with writer:
            assert writer.stdout is not None
            said[name] += writer.stdout.read()
    return {name: int(lines.split()[-1]) for name, lines in said.items()}


def test_what_was_acknowledged_survives_the_death_of_its_writer(tmp_path: Path) -> None:
    last = acknowledged_before_the_kill(tmp_path, "a", "b")
    log = SqliteEventLog(tmp_path / "events.db", SystemClock())
    records = log.consumer("g", ["t"]).poll(1_000_000, 0)
    assert [record.offset for record in records] == list(range(len(records)))
    store = SqliteServingStore(tmp_path / "serving.db", SystemClock())
    for name, acknowledged in last.items():
        numbers = [int(record.value or b"-1") for record in records if record.key == name]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) in {acknowledged + 1, acknowledged + 2}
        document = store.get("c", name)
        assert document is not None
        assert document["i"] in {acknowledged, acknowledged + 1}
