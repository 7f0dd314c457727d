"""Containers beyond the contract: what they may do, what they are given, what happens when the engine is odd."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest
from docker.models.containers import Container

from core.clock import ManualClock, SystemClock
from core.errors import DependencyError
from core.settings import PlatformSettings
from core.traffic import TrafficPlan
from deploy.runtime import Instance
from deploy.runtime_container import HOME, ContainerRuntime
from deploy.settings import DeploySettings
from deploy.wiring import assemble, build_runtime
from storage import releases as store
from storage.bundles import find
from storage.connect import open_serving_store
from storage.database import open_database
from storage.serving_store import USER_REALTIME_PROFILE
from tests.containers import container_runtime, stop_all
from tests.release_support import LOOK_MS, PLAN, Script, make_tables, no_objection
from tests.small_model import publish_small
from tests.support import free_port, wait_until

pytestmark = pytest.mark.podman


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish_small(tmp_path / "bundles", "v1")
    publish_small(tmp_path / "bundles", "v2")
    return tmp_path


@pytest.fixture
def runtime(home: Path, podman_url: str, serving_image: str) -> Iterator[ContainerRuntime]:
    made = container_runtime(home, podman_url, serving_image)
    yield made
    stop_all(made)


@pytest.fixture
def engine(podman_url: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=podman_url)
    yield client
    client.close()


@pytest.fixture
def start(home: Path, runtime: ContainerRuntime) -> Callable[[], Instance]:
    digest = find(home / "bundles", "v1").digest
    return lambda: runtime.start("v1", digest, "one")


def containers_of(engine: docker.DockerClient, home: Path) -> list[Container]:
    found: list[Container] = engine.containers.list(all=True, filters={"label": f"{HOME}={home}"})
    return found


def get(url: str, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def test_a_container_may_do_little_and_is_reached_from_this_machine_alone(
    start: Callable[[], Instance], engine: docker.DockerClient, home: Path
) -> None:
    instance = start()
    (container,) = containers_of(engine, home)
    host, config = container.attrs["HostConfig"], container.attrs["Config"]
    assert (host["ReadonlyRootfs"], host["Memory"], config["User"]) == (True, 512 * 2**20, "10001:10001")
    port = str(urlsplit(instance.url).port)
    assert container.ports["8080/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": port}]
    mounts = {
        mount["Destination"]: mount["RW"] for mount in container.attrs["Mounts"] if mount["Type"] == "bind"
    }
    assert mounts == {"/var/lib/understudy/bundles/v1": False, "/var/lib/understudy/serving": True}
    # As the container sees them; an `exec` in Podman would leave a watcher behind for five minutes.
    inside = Path(f"/proc/{instance.pid}/root")
    for read_only in ("opt/understudy", "var/lib/understudy/bundles/v1"):
        with pytest.raises(OSError, match="Read-only file system"):
            (inside / read_only / "x").touch()
    assert "\nUid:\t10001\t" in Path(f"/proc/{instance.pid}/status").read_text()


def test_the_image_holds_no_torch_and_no_index(engine: docker.DockerClient, serving_image: str) -> None:
    look = (
        "import importlib.util as u; print([n for n in ('torch', 'sentence_transformers') if u.find_spec(n)])"
    )
    said = engine.containers.run(serving_image, ["-c", look], entrypoint="python", remove=True)
    assert said.strip() == b"[]"
    settings = engine.containers.run(
        serving_image, ["-m", "pip", "config", "list"], entrypoint="python", remove=True
    )
    assert settings.strip() == b""


def test_a_container_reads_and_shares_the_embedded_serving_store(
    start: Callable[[], Instance], home: Path
) -> None:
    clock = SystemClock()
    shared = open_serving_store(PlatformSettings(home=home), clock)
    instance = start()
    before = {item["video_id"] for item in get(instance.url, "/recommend/new?count=5")["items"]}
    watched = [[video, clock.now_ms() - 1_000, None, 1.0] for video in sorted(before)]
    shared.put_many(USER_REALTIME_PROFILE, {"new": {"watched": watched, "offsets": {}}})
    after = get(instance.url, "/recommend/new?count=5")
    assert after["degraded"] is False
    assert not {item["video_id"] for item in after["items"]} & before


def test_what_a_killed_starter_left_unstarted_is_started(
    start: Callable[[], Instance], runtime: ContainerRuntime, home: Path
) -> None:
    digest = find(home / "bundles", "v1").digest
    runtime._prepare_folders()
    runtime._create("v1", digest, "one", free_port())
    assert [instance.alive for instance in runtime.instances()] == [False]
    assert start().alive
    assert len(runtime.instances()) == 1


def test_a_port_that_somebody_took_meanwhile_is_given_up(
    start: Callable[[], Instance], engine: docker.DockerClient, home: Path
) -> None:
    first = start()
    (container,) = containers_of(engine, home)
    container.kill()
    container.wait()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_until(lambda: bound(taken, first.url), what="the port to be free")
        taken.listen()
        again = start()
    assert again.alive
    assert again.url != first.url


def test_a_port_that_only_the_engine_knows_to_be_taken_is_given_up(
    start: Callable[[], Instance], engine: docker.DockerClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        offered = iter([taken.getsockname()[1], free])
        monkeypatch.setattr("deploy.runtime_container.choose_port", lambda _: next(offered))
        instance = start()
    assert (instance.alive, instance.url) == (True, f"http://127.0.0.1:{free}")
    assert len(containers_of(engine, home)) == 1


def bound(taken: socket.socket, url: str) -> bool:
    try:
        taken.bind(("127.0.0.1", urlsplit(url).port))
    except OSError:
        return False
    return True


def test_the_log_of_a_container_outlives_it(
    start: Callable[[], Instance], runtime: ContainerRuntime, home: Path
) -> None:
    start()
    runtime.stop("one")
    assert "gunicorn" in (home / "logs" / "one.log").read_text()


def test_on_the_network_of_the_host_it_listens_on_loopback_itself(
    home: Path, podman_url: str, serving_image: str
) -> None:
    runtime = container_runtime(home, podman_url, serving_image, network="host")
    try:
        instance = runtime.start("v1", find(home / "bundles", "v1").digest, "one")
        assert get(instance.url, "/version")["version"] == "v1"
    finally:
        stop_all(runtime)


def test_an_image_that_is_not_there_is_named(home: Path, podman_url: str) -> None:
    runtime = container_runtime(home, podman_url, "localhost/nobody-built-this")
    with pytest.raises(
        DependencyError, match=r"no image localhost/nobody-built-this.*UNDERSTUDY_DEPLOY_IMAGE"
    ):
        runtime.start("v1", "sha256:0", "one")
    assert runtime.instances() == []


def test_a_release_moves_the_plan_from_container_to_container(
    home: Path, podman_url: str, serving_image: str, engine: docker.DockerClient
) -> None:
    make_tables(home / "understudy.db")
    platform = PlatformSettings(home=home)
    settings = DeploySettings(
        runtime="container",
        image=serving_image,
        docker_url=podman_url,
        container_memory_mb=512,
        drain_s=0,
        ready_s=60,
        stop_s=5,
    )
    runtime = build_runtime(platform, settings)
    database, clock = open_database(platform.sql_url), ManualClock()
    manager = assemble(
        platform,
        settings,
        clock,
        database,
        runtime,
        gate=no_objection,
        complete=lambda _: True,
        evaluator=Script({1: "step_ramp", 2: "promote"}),
        plan=replace(PLAN, max_duration_ms=10**12),
    )

    def plan() -> TrafficPlan:
        with database.read() as connection:
            found = store.current_plan(connection)
        assert found is not None
        return found

    try:
        manager.start("v1")
        manager.start("v2")
        main, canary = plan().main, plan().canary
        assert canary is not None
        for arm, version in ((main, "v1"), (canary, "v2")):
            said = get(arm.url, "/version")
            assert (said["version"], said["bundle_digest"]) == (version, arm.bundle_digest)
        assert len(containers_of(engine, home)) == 2

        for _ in range(2):
            clock.move(LOOK_MS)
            manager.tick()
        manager.settle()
        assert (plan().main.version, plan().canary) == ("v2", None)
        assert get(plan().main.url, "/version")["version"] == "v2"
        (left,) = runtime.instances()
        assert (left.version, left.url) == ("v2", plan().main.url)
        assert len(containers_of(engine, home)) == 1
    finally:
        stop_all(runtime)
        database.close()
