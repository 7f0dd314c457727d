"""The contract of the runtime, against local processes and containers on a real Podman; all serve real bundles."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core.errors import DependencyError
from deploy.runtime import Instance, Runtime
from deploy.runtime_process import ProcessRuntime
from deploy.smoke import smoke
from storage.bundles import find
from tests.containers import container_runtime, stop_all
from tests.release_support import publish_bundle
from tests.small_model import publish_small
from tests.support import wait_until


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 and v2 can be served; `empty` cannot: there is no model in it."""
    store = tmp_path_factory.mktemp("bundles")
    for version in ("v1", "v2"):
        publish_small(store, version)
    publish_bundle(store, "empty")
    return store


@dataclass
class Place:
    """A home with bundles, and runtimes over it."""

    home: Path
    make: Callable[[Path], Runtime]
    runtime: Runtime = field(init=False)

    def __post_init__(self) -> None:
        self.runtime = self.make(self.home)

    def digest(self, version: str) -> str:
        return find(self.home / "bundles", version).digest

    def start(self, version: str, name: str = "one", runtime: Runtime | None = None) -> Instance:
        return (runtime or self.runtime).start(version, self.digest(version), name)


@pytest.fixture(params=["process", pytest.param("container", marks=pytest.mark.podman)])
def make(request: pytest.FixtureRequest) -> Callable[[Path], Runtime]:
    """Makes a runtime over a home, of each kind."""
    if request.param == "process":
        return lambda home: ProcessRuntime(home, ready_s=60, stop_s=5)
    url, image = request.getfixturevalue("podman_url"), request.getfixturevalue("serving_image")
    return lambda home: container_runtime(home, url, image)


@pytest.fixture
def place(bundles: Path, tmp_path: Path, make: Callable[[Path], Runtime]) -> Iterator[Place]:
    home = tmp_path / "home"
    shutil.copytree(bundles, home / "bundles")
    made = Place(home, make)
    yield made
    stop_all(made.runtime)


def answers(instance: Instance) -> bool:
    connection = http.client.HTTPConnection(urlsplit(instance.url).netloc, timeout=5)
    try:
        connection.request("GET", "/version")
        said = json.loads(connection.getresponse().read())
        return (said["version"], said["bundle_digest"]) == (instance.version, instance.digest)
    except OSError:
        return False
    finally:
        connection.close()


def kill(instance: Instance) -> None:
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGKILL)


def test_start_is_ready_and_starting_again_is_the_same_instance(place: Place) -> None:
    first = place.start("v1")
    assert (first.name, first.version, first.digest, first.alive) == ("one", "v1", place.digest("v1"), True)
    assert smoke(first) == 5
    assert place.start("v1") == first
    assert place.runtime.instances() == [first]


def test_stop_ends_the_instance_and_forgets_it_and_twice_is_once(place: Place) -> None:
    first, other = place.start("v1", "one"), place.start("v2", "two")
    place.runtime.stop("one")
    place.runtime.stop("one")
    assert not answers(first)
    assert place.runtime.instances() == [other]
    assert answers(other)


def test_a_killed_instance_is_seen_and_comes_back_at_its_url(place: Place) -> None:
    first = place.start("v1")
    kill(first)
    wait_until(lambda: not place.runtime.instances()[0].alive, 10, "the death of the instance")
    dead = place.runtime.instances()[0]
    assert (dead.name, dead.version, dead.url, dead.pid) == ("one", "v1", first.url, None)
    again = place.start("v1")
    assert (again.url, again.alive, again.pid != first.pid) == (first.url, True, True)
    assert answers(again)


def test_a_version_that_cannot_be_served_is_reported_with_its_last_words(place: Place) -> None:
    with pytest.raises(DependencyError, match=r"instance one ended by itself.*empty"):
        place.start("empty")
    assert [instance.alive for instance in place.runtime.instances()] == [False]
    place.runtime.stop("one")
    assert place.runtime.instances() == []


def test_two_starters_at_once_start_one_instance(place: Place) -> None:
    runtimes = [place.make(place.home) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda runtime: place.start("v1", runtime=runtime), runtimes))
    assert found[0] == found[1] == found[2]
    assert place.runtime.instances() == [found[0]]


def test_whoever_comes_later_finds_what_was_started(place: Place) -> None:
    first = place.start("v1")
    later = place.make(place.home)
    assert later.instances() == [first]
    assert place.start("v1", runtime=later) == first
    later.stop("one")
    assert place.runtime.instances() == []


def test_another_version_under_a_name_takes_its_place(place: Place) -> None:
    place.start("v1")
    second = place.start("v2")
    assert place.runtime.instances() == [second]
    assert answers(second)


def test_another_home_has_instances_of_its_own(place: Place, bundles: Path, tmp_path: Path) -> None:
    first = place.start("v1")
    shutil.copytree(bundles, tmp_path / "other" / "bundles")
    other = place.make(tmp_path / "other")
    assert other.instances() == []
    other.stop("one")
    assert place.runtime.instances() == [first]
