"""F4 to F10: what Kafka does to a reader that writes into PostgreSQL; nothing is lost, nothing counted twice."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition

from core.errors import DependencyError
from ingest.health import reader_readiness
from ingest.reader import Reader
from tests.faults.real_platform import RealPlatform, counted, opened_at, running
from tests.ingest_platform import FaultyDatabase, FaultyEventLog
from tests.mock_kafka import (
    FETCH,
    ILLEGAL_GENERATION,
    KAFKA_STORAGE_ERROR,
    OFFSET_COMMIT,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_SERVER_ERROR,
    MockCluster,
    MockLog,
    mock_cluster,
)
from tests.servers import Server
from tests.support import wait_until

ROOT = Path(__file__).parents[2]
AWAY_S = 6.0

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql]


def problem(reader: Reader, real: RealPlatform) -> str:
    return reader_readiness(reader.state, real.clock, 60_000).problems.get("dependencies", "")


def answered(ask: Callable[[], object]) -> bool:
    """Whether Kafka answered, and not with no."""
    try:
        return ask() is not False
    except DependencyError:
        return False


def test_f4_a_reader_paused_past_its_session_commits_nothing_late(real: RealPlatform) -> None:
    real.send(range(400))
    command = [sys.executable, "-m", "tests.faults.reader_sleeper", *map(str, astuple(real.place))]
    sleeper = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert os.WIFSTOPPED(os.waitpid(sleeper.pid, os.WUNTRACED)[1])
        assert real.stored()  # its batch is in SQL, its offsets are not committed
        real.read_up(real.reader())
        real.assert_exactly(range(400))
        sleeper.send_signal(signal.SIGCONT)
        told, _ = sleeper.communicate(timeout=120)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert json.loads(told)["refused"] >= 1
    real.assert_exactly(range(400))


def test_f5_all_brokers_away_for_6_seconds(real: RealPlatform, kafka_server: Server) -> None:
    stop = threading.Event()
    reader = real.reader(stop=stop)
    real.send(range(300))
    with running(reader, stop):
        wait_until(lambda: real.waiting() == 0, 60, "the first events")
        kafka_server.stop(signal.SIGKILL)
        gone = time.monotonic()
        try:
            wait_until(lambda: "Kafka at" in problem(reader, real), 60, "the reader saying what is away")
            wait_until(lambda: time.monotonic() - gone >= AWAY_S, 10, "6 seconds")
        finally:
            kafka_server.start()
        wait_until(lambda: answered(lambda: real.send(range(300, 600))), 60, "the brokers taking more")
        wait_until(
            lambda: answered(lambda: real.waiting() == 0) and not problem(reader, real), 120, "the rest"
        )
    real.assert_exactly(range(600))


def test_f9_a_log_trimmed_past_our_offset_is_counted_and_named(
    real: RealPlatform, kafka_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    real.send(range(100))
    real.read_up(real.reader())
    real.send(range(100, 200))
    ends = real.log.ends(real.place.topic)
    read = {part.where: part.account.next_offset for part in real.audited().partitions}
    gaps = {where: (read[where], end - 6) for where, end in ends.items() if end - 6 >= read[where]}
    with KafkaAdminClient(bootstrap_servers=kafka_servers) as admin:
        admin.delete_records({TopicPartition(*where): last + 1 for where, (_, last) in gaps.items()})
    reader = real.reader()
    with caplog.at_level(logging.ERROR):
        real.read_up(reader)
    lost = sum(last - first + 1 for first, last in gaps.values())
    assert lost > 0
    assert counted(reader, "skipped_records_total", topic=real.place.topic) == lost
    assert "were gone before they were read" in caplog.text
    report = real.audited()
    assert not report.clean and sum(part.lost for part in report.partitions) == lost
    named = {part.where: part.without_row for part in report.partitions if part.without_row}
    assert named == {where: (gap,) for where, gap in gaps.items()}


def test_f10_a_second_reader_joins_in_the_middle_of_a_batch(real: RealPlatform) -> None:
    real.send(range(1_000))
    stop, other_stop = threading.Event(), threading.Event()
    joining: list[object] = []
    with opened_at(real.place) as there:
        other = there.reader(stop=other_stop)

        def join_once() -> None:
            if not joining:
                joining.append(running(other, other_stop))
                joining[0].__enter__()  # type: ignore[attr-defined]

        reader = real.reader(stop=stop, database=FaultyDatabase(real.database, after=join_once))
        with running(reader, stop):
            wait_until(lambda: other.state.started, 60, "the other having joined")
            sent = 1_000
            while not counted(other, "records_total", topic=real.place.topic, result="stored"):
                real.send(range(sent, sent + 200))  # until a rebalance has given the other its partitions
                sent += 200
                wait_until(lambda: real.waiting() == 0, 60, "what was sent")
        joining[0].__exit__(None, None, None)  # type: ignore[attr-defined]
    print(f"{sent} events, {counted(reader, 'commits_refused_total'):.0f} commits refused")
    real.assert_exactly(range(sent))


def on_mock(real: RealPlatform, cluster: MockCluster) -> RealPlatform:
    return replace(real, log=MockLog(cluster.servers))


def test_f6_the_leader_of_a_partition_moves_again_and_again(real: RealPlatform) -> None:
    with mock_cluster(real.place.topic) as cluster:
        here = on_mock(real, cluster)
        reader = here.reader()
        consumer = reader.join()
        for move in range(6):
            here.send(range(move * 200, (move + 1) * 200))
            reader.step(consumer)
            cluster.move_leader(move % 2, 1 + move % 3)
        here.read_up(reader, consumer)
        here.assert_exactly(range(1_200))
        consumer.close()
        here.log.close()


def test_f7_fetches_that_fail_are_repeated(real: RealPlatform) -> None:
    with mock_cluster(real.place.topic) as cluster:
        here = on_mock(real, cluster)
        here.send(range(500))
        reader = here.reader()
        consumer = reader.join()
        cluster.refuse_next(FETCH, *[KAFKA_STORAGE_ERROR, UNKNOWN_SERVER_ERROR] * 3)
        here.read_up(reader, consumer)
        here.assert_exactly(range(500))
        consumer.close()
        here.log.close()


@pytest.mark.parametrize("error", [ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS])
def test_f8_a_commit_that_is_refused_is_no_loss(real: RealPlatform, error: int) -> None:
    with mock_cluster(real.place.topic) as cluster:
        here = on_mock(real, cluster)
        here.send(range(500))
        refused = [2]

        def refuse() -> None:
            if refused[0]:
                refused[0] -= 1
                cluster.refuse_next(OFFSET_COMMIT, error)

        reader = here.reader(log=FaultyEventLog(here.log, on_commit=refuse))
        here.read_up(reader)
        assert counted(reader, "commits_refused_total") == 2
        here.assert_exactly(range(500))
        here.log.close()
