"""`understudy replay` as a process, over exposures that a real load balancer made and the reader stored."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from core.settings import child_environment
from ingest.settings import IngestSettings
from ingest.wiring import build_reader
from storage.connect import open_main_store
from storage.exposures import newest_exposures
from tests.fake_arm import set_mode
from tests.serving import Stage, open_stage
from tests.small_model import publish_small
from tests.support import free_port
from training.recipes import CONTENT
from understudy.client import Client

REQUESTS = 40


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("replay")) as stage:
        publish_small(stage.platform.bundles, "v1")
        publish_small(stage.platform.bundles, "v2", recipe=CONTENT)
        stage.publish(stage.inference("v1"))
        balancer = stage.balancer()
        with closing(Client(balancer.url)) as client:
            for number in range(REQUESTS):
                client.recommend(f"u{number % 24:02}", count=5)
        balancer.terminate()
        read_everything(stage)
        yield stage


def read_everything(stage: Stage) -> None:
    process = build_reader(IngestSettings.load(), stage.platform, threading.Event())
    consumer = process.reader.join()
    while process.reader.step(consumer):
        pass
    consumer.close()
    process.close()


def replay(stage: Stage, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "understudy", "replay", *arguments],
        env=child_environment(UNDERSTUDY_HOME=str(stage.home)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def report(stage: Stage, *arguments: str) -> dict[str, Any]:
    code, out, err = replay(stage, *arguments, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_version_that_was_shown_shows_the_same_again(stage: Stage) -> None:
    found = report(stage, "v1", "--overlap", "1")
    assert (found["requests"], found["answered"], found["errors"]) == (REQUESTS, REQUESTS, {})
    assert (found["overlap"], found["order"], found["identical"], found["short"]) == (1.0, 1.0, 1.0, 0)
    assert 0 < found["latency_ms"]["median"] <= found["latency_ms"]["p99"]
    assert found["logged_latency_ms"]["median"] > 0


def test_another_version_differs_and_may_be_refused(stage: Stage) -> None:
    found = report(stage, "v2", "--last", "10")
    assert (found["requests"], found["answered"]) == (10, 10)
    assert found["identical"] < 1
    code, out, err = replay(stage, "v2", "--overlap", "1")
    assert (code, f"{REQUESTS} of {REQUESTS} requests answered" in out) == (3, True)
    assert "the mean overlap is" in err


def test_a_running_service_is_asked_and_its_errors_are_counted(stage: Stage) -> None:
    service = stage.running[0]
    assert report(stage, "--url", service.url)["identical"] == 1.0
    arm = stage.arm("v1")
    code, _, err = replay(stage, "--url", arm.url)
    assert (code, "no inference service" in err) == (3, True)  # a fake does not say what it is
    set_mode(arm.url, "error500")
    assert replay(stage, "--url", arm.url)[0] == 4


def test_what_is_wrong_has_its_exit_code(stage: Stage) -> None:
    assert replay(stage)[0] == 2
    assert replay(stage, "v1", "--url", "http://127.0.0.1:1")[0] == 2
    assert [replay(stage, "--url", url)[0] for url in ("no url", "127.0.0.1:8090")] == [2, 2]
    code, _, err = replay(stage, "v9")
    assert (code, "v9" in err) == (2, True)
    assert replay(stage, "--url", f"http://127.0.0.1:{free_port()}")[0] == 4


def test_a_load_balancer_is_not_asked(stage: Stage) -> None:
    balancer = stage.balancer()
    code, _, err = replay(stage, "--url", balancer.url)
    assert (code, "would count as shown" in err) == (3, True)
    balancer.terminate()
    with closing(open_main_store(stage.platform)) as database, database.read() as connection:
        assert len(newest_exposures(connection, 1_000)) == REQUESTS


def test_without_exposures_there_is_nothing_to_replay(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_stage(tmp_path_factory.mktemp("nothing")) as empty:
        code, _, err = replay(empty, "v1")
    assert (code, "nothing to replay" in err) == (3, True)
