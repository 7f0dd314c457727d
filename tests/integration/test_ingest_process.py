"""The reader as a process of its own: health, metrics, and a clean end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from core.clock import SystemClock
from core.events import TOPIC_INTERACTIONS
from core.health import ALIVE
from ingest.audit import audit
from ingest.loading import HistoryRow, load_history
from tests.ingest_platform import Platform, platform
from tests.ingest_support import messages
from tests.servers import Server
from tests.support import free_port, wait_until

ROOT = Path(__file__).parents[2]
RUN = """
from core.logging import set_up_logging
from core.settings import PlatformSettings
from ingest.server import run
from ingest.settings import IngestSettings
set_up_logging()
run(IngestSettings.load(), PlatformSettings.load())
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, SystemClock()) as made:
        yield made


@contextmanager
def reader_process(home: Path, port: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "UNDERSTUDY_HOME": str(home),
        "UNDERSTUDY_INGEST_PORT": str(port),
        **{f"UNDERSTUDY_INGEST_{name.upper()}": value for name, value in variables.items()},
    }
    with (home / f"reader-{port}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, env=environment, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=False, timeout=5)


def ready(port: int) -> bool:
    try:
        return get(port, "/readyz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_the_process_reads_tells_how_it_is_and_ends_cleanly_on_sigterm(here: Platform) -> None:
    port = free_port()
    with reader_process(here.home, port) as process:
        wait_until(lambda: ready(port), what="the reader being ready")
        here.log.append(TOPIC_INTERACTIONS, messages(range(100), SystemClock().now_ms() - 1_000))
        wait_until(lambda: len(here.rows()) == 100, what="100 rows")
        wait_until(lambda: b'result="stored",topic="user_interactions"} 100.0' in get(port, "/metrics").data)
        assert get(port, "/livez").json() == ALIVE
        head = urllib3.request("HEAD", f"http://127.0.0.1:{port}/readyz")
        assert (head.status, head.data) == (200, b"")
        assert get(port, "/version").json()["service"] == "reader"
        assert get(port, "/elsewhere").status == 404
        assert b'understudy_reader_lag_records{topic="user_interactions"}' in get(port, "/metrics").data
        assert b"understudy_reader_last_commit_timestamp_seconds" in get(port, "/metrics").data
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert audit(here.database, here.log).clean
    here.assert_documents_follow()


def test_without_tables_it_is_alive_and_not_ready_and_says_why(tmp_path: Path) -> None:
    port = free_port()
    with reader_process(tmp_path, port) as process:
        wait_until(lambda: _misses_a_table(port), what="the reason")
        assert get(port, "/livez").status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def _misses_a_table(port: int) -> bool:
    try:
        answer = get(port, "/readyz")
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 503 and "no such table" in str(answer.json())


def test_a_port_that_is_taken_ends_it_with_the_name_of_the_variable(here: Platform) -> None:
    port = free_port()
    with reader_process(here.home, port) as first, reader_process(here.home, port) as second:
        wait_until(lambda: first.poll() is not None or second.poll() is not None, what="one of them ending")
    assert "UNDERSTUDY_INGEST_PORT" in (here.home / f"reader-{port}.log").read_text()


@pytest.mark.kafka
def test_a_password_that_kafka_does_not_take_ends_it_with_exit_code_4(
    kafka_server: Server, tmp_path: Path
) -> None:
    chain = kafka_server.folder / "chain.pem"
    if not chain.exists():
        pytest.skip("openssl is not on PATH, so the broker speaks no TLS")
    environment = {
        **os.environ,
        "UNDERSTUDY_HOME": str(tmp_path),
        "UNDERSTUDY_INGEST_PORT": str(free_port()),
        "UNDERSTUDY_KAFKA_SERVERS": f"127.0.0.1:{kafka_server.secure_port}",
        "UNDERSTUDY_KAFKA_SECURITY": "SASL_SSL",
        "UNDERSTUDY_KAFKA_USER": "understudy",
        "UNDERSTUDY_KAFKA_PASSWORD": "hunter2",
        "UNDERSTUDY_KAFKA_CA_FILE": str(chain),
    }
    command = [sys.executable, "-m", "understudy", "ingest"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 4, ended.stderr
    assert "does not let us in: PLAIN as 'understudy'" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_stopped_for_a_while_and_restarted_in_the_middle_of_a_load_nothing_is_lost_or_counted_twice(
    here: Platform,
) -> None:
    now_ms = SystemClock().now_ms()
    rows = [HistoryRow(f"u{n % 200}", f"v{n % 900}", 1 + n % 5, now_ms - n * 60_000) for n in range(20_000)]
    port = free_port()

    def at_least(count: int) -> bool:
        return bool(here.rows_stored() >= count)

    with reader_process(here.home, port, batch_records="500") as process:
        load_history(here.log, rows[:12_000], "sha256:00000001")
        wait_until(lambda: at_least(1_000), what="the load being under way")
        process.send_signal(signal.SIGSTOP)
        load_history(
            here.log, rows, "sha256:00000001"
        )  # again from the start: the first 12,000 are duplicates
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: at_least(8_000), what="the load going on")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with reader_process(here.home, port):
        wait_until(lambda: audit(here.database, here.log).waiting == 0, 60, "everything being read")
    report = audit(here.database, here.log)
    assert report.clean, report.sentences()
    part = report.partitions[0]
    assert (part.account.stored, part.account.duplicates) == (20_000, 12_000)
    assert {row.interaction.event_id for row in here.rows()} == {f"load-00000001-{n}" for n in range(20_000)}
    here.assert_documents_follow()
