"""Fixtures that several rooms share: real servers, each started once a session and only if a test asks."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest
from hypothesis import settings

from tests import servers
from tests.demo_home import DemoRun, run_demo

# `make test` draws few examples of each property, `make test-long` many; no example has a wall-clock deadline.
settings.register_profile("quick", max_examples=15, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile("quick")


T = TypeVar("T")


def pytest_collection(session: pytest.Session) -> None:
    """Modules are loaded now, and stay: the garbage collector need not look through them, now or later."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()


def _started(make: AbstractContextManager[T]) -> Iterator[T]:
    """The server, or the reason why there is none: skipped, or failed where servers are required."""
    try:
        server = make.__enter__()
    except servers.MissingServerError as error:
        if os.environ.get("UNDERSTUDY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"required: {error}")
        pytest.skip(str(error))
    try:
        yield server
    finally:
        make.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[servers.Server]:
    yield from _started(servers.postgresql_server())


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[servers.Server]:
    yield from _started(servers.kafka_server())


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[servers.Server]:
    yield from _started(servers.mongodb_server())


@pytest.fixture(scope="session")
def podman_server() -> Iterator[servers.Server]:
    yield from _started(servers.podman_server())


@pytest.fixture
def haproxy() -> Iterator[Callable[[str, int], servers.Server]]:
    """Starts HAProxy under a configuration that listens on a port; it ends with the test."""
    yield from _started(servers.haproxy())


@pytest.fixture(scope="session")
def podman_url(podman_server: servers.Server) -> str:
    """Where a container engine's API is; use container names and homes of your own."""
    return servers.podman_url(podman_server)


@pytest.fixture(scope="session")
def serving_image(podman_server: servers.Server) -> str:
    """An image with the code as it stands, on that engine."""
    return servers.serving_image()


@pytest.fixture(scope="session")
def postgresql_url(postgresql_server: servers.Server) -> str:
    """A PostgreSQL database without tables, shared by the session."""
    return servers.postgresql_url(postgresql_server)


@pytest.fixture(scope="session")
def kafka_servers(kafka_server: servers.Server) -> str:
    """Bootstrap servers of an Apache Kafka broker; use topics and groups of your own."""
    return f"127.0.0.1:{kafka_server.port}"


@pytest.fixture(scope="session")
def mongodb_url(mongodb_server: servers.Server) -> str:
    """URL of a server that speaks MongoDB's wire protocol; use a database of your own."""
    return f"mongodb://127.0.0.1:{mongodb_server.port}"


@pytest.fixture
def postgresql_database(postgresql_server: servers.Server) -> str:
    """The URL of a new, empty PostgreSQL database for one test."""
    import psycopg2

    name = f"test_{uuid.uuid4().hex}"
    connection = psycopg2.connect(servers.postgresql_url(postgresql_server))
    try:
        connection.autocommit = True
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.close()
    return servers.postgresql_url(postgresql_server, name)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The finished demo of this session: some three minutes, run once for whoever asks."""
    return run_demo(tmp_path_factory.mktemp("demo"), pause_reader=True)
