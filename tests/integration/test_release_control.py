"""The control plane as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import free_port, wait_until


def start(home: Path, port: int, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "understudy", "control", "--port", str(port)],
        env={**clean, "UNDERSTUDY_HOME": str(home), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    process = start(tmp_path, port)
    try:
        wait_until(
            lambda: get(port, "/readyz")[0] == 200 or process.poll() is not None, 60, "the control plane"
        )
        assert process.poll() is None
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_it_serves_pages_json_and_metrics(port: int) -> None:
    status, page = get(port, "/releases")
    assert (status, "There is no main yet" in page) == (200, True)
    assert json.loads(get(port, "/api/releases")[1]) == {"releases": []}
    assert "understudy_process_info" in get(port, "/metrics")[1]
    assert get(port, "/static/control.css")[0] == 200
    assert get(port, "/api/releases/x/abort", method="POST")[0] == 401


@pytest.mark.parametrize(
    "environment",
    [
        {"UNDERSTUDY_CONTROL_HOST": "0.0.0.0"},
        {"UNDERSTUDY_CONTROL_TOKEN": "hunter2"},
        {"UNDERSTUDY_CONTROL_TOKN": "a-token-of-24-characters"},
    ],
)
def test_it_refuses_to_start_where_it_would_be_open(tmp_path: Path, environment: dict[str, str]) -> None:
    process = start(tmp_path, free_port(), **environment)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "UNDERSTUDY_CONTROL_" in said
    assert "hunter2" not in said
    assert "Traceback" not in said
