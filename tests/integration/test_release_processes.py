"""The runtime of local processes, with real processes that start quickly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from core.errors import DependencyError
from deploy.processes import ProcessId, identify, is_running, terminate
from deploy.runtime_process import ProcessRuntime
from deploy.smoke import SmokeError, smoke
from storage.bundles import find
from tests.release_support import publish_bundle
from tests.support import free_port, wait_until

FAKE = str(Path(__file__).parents[1] / "faults" / "fake_serve.py")


class Servers:
    """A runtime over fake servers, stopped in the end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.runtime = ProcessRuntime(home, self._command, ready_s=60, stop_s=5)
        for version in ("v1", "mute", "dead"):
            publish_bundle(home / "bundles", version)

    def digest(self, version: str) -> str:
        return find(self.home / "bundles", version).digest

    def start(self, version: str, name: str):  # type: ignore[no-untyped-def]
        return self.runtime.start(version, self.digest(version), name)

    def _command(self, version: str, port: int) -> Sequence[str]:
        return [sys.executable, FAKE, str(self.home), version, str(port)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    for instance in made.runtime.instances():
        made.runtime.stop(instance.name)


def test_start_is_ready_and_starting_again_is_the_same_process(servers: Servers) -> None:
    first = servers.start("v1", "one")
    assert smoke(first) == 5
    assert servers.start("v1", "one") == first
    assert servers.runtime.instances() == [first]


def test_stop_ends_the_process_and_forgets_it_and_twice_is_once(servers: Servers) -> None:
    pid = servers.start("v1", "one").pid
    servers.runtime.stop("one")
    servers.runtime.stop("one")
    assert identify(pid) is None
    assert servers.runtime.instances() == []


def test_a_killed_instance_is_seen_and_comes_back_at_its_url(servers: Servers) -> None:
    first = servers.start("v1", "one")
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not servers.runtime.instances()[0].alive, what="the death of the instance")
    again = servers.start("v1", "one")
    assert (again.url, again.alive, again.pid != first.pid) == (first.url, True, True)


def test_a_version_that_ends_by_itself_is_reported_with_its_last_words(servers: Servers) -> None:
    with pytest.raises(DependencyError, match="no such model"):
        servers.start("dead", "one")


def test_smoke_requests_find_a_version_that_recommends_nothing(servers: Servers) -> None:
    with pytest.raises(SmokeError, match="status 404"):
        smoke(servers.start("mute", "one"))


def test_two_starters_at_once_start_one_process(servers: Servers) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(servers.start("v1", "one").pid)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_reused_pid_is_never_signalled(servers: Servers) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        record = {
            "name": "one",
            "version": "v1",
            "digest": "sha256:0",
            "port": free_port(),
            "pid": bystander.pid,
            "started": "1",
        }
        (servers.home / "run" / "instances" / "one.json").write_text(json.dumps(record))
        assert not servers.runtime.instances()[0].alive
        servers.runtime.stop("one")
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    stubborn = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    process = identify(stubborn.pid)
    assert process is not None
    terminate(process, grace_s=0.2)
    assert not is_running(process)
    stubborn.communicate()


def test_a_process_is_its_number_and_its_start() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert is_running(me)
    assert not is_running(ProcessId(me.pid, "another time"))
