"""What every runtime needs of the machine it runs on: a lock for each name, a free port, a look at readiness."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import DependencyError

HOST = "127.0.0.1"
# A worker that has lost its parent notices within a second or two, and holds the port until then.
LETS_GO_S = 3.0


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[int]:
    """One starter or stopper per name, over all processes of this machine; yields the lock's descriptor."""
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)  # not LOCK_UN: a child that inherited it keeps the lock until it lets go


def choose_port(before: int | None) -> int:
    """A port of loopback on which nobody listens: the one of before, if it is free or soon will be."""
    if before is None:
        return _free_port()
    deadline = time.monotonic() + LETS_GO_S
    while not _is_free(before):
        if time.monotonic() > deadline:
            return _free_port()
        time.sleep(0.05)
    return before


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_ready(
    name: str, url: str, ready_s: float, is_running: Callable[[], bool], last_words: Callable[[], str]
) -> None:
    """Return once `url` answers /readyz.

    Raises:
        DependencyError: the instance ended, or took longer than `ready_s`; with its last words.
    """
    deadline = time.monotonic() + ready_s
    while not _answers(url, "/readyz"):
        if not is_running():
            raise DependencyError(f"instance {name} ended by itself; {last_words()}")
        if time.monotonic() > deadline:
            raise DependencyError(f"instance {name} is not ready after {ready_s:g} s; {last_words()}")
        time.sleep(0.05)


def _answers(url: str, path: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
