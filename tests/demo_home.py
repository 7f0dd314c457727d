"""Runs the real demo once a test session; what it leaves behind (data, bundles, stores) serves several tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.settings import child_environment
from tests.support import free_port, wait_until

READER_PAUSE_S = 10


@dataclass(frozen=True, slots=True)
class DemoRun:
    """A finished demo: where it lived, what it said, how it ended."""

    home: Path
    said: str
    code: int


def run_demo(home: Path, *, pause_reader: bool = False, arguments: Sequence[str] = ()) -> DemoRun:
    """`understudy demo --exit` on free ports; with `pause_reader` its reader stands still for ten seconds."""
    reader_port = free_port()
    ports = ["--balancer-port", str(free_port()), "--control-port", str(free_port())]
    command = [
        sys.executable,
        "-m",
        "understudy",
        "demo",
        "--exit",
        *ports,
        "--reader-port",
        str(reader_port),
    ]
    process = subprocess.Popen(
        [*command, *arguments],
        env=child_environment(UNDERSTUDY_HOME=str(home), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    listener = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    listener.start()
    try:
        if pause_reader:  # a demo that ended early says so in its code
            wait_until(
                lambda: process.poll() is not None or any("look 1" in line for line in lines), 400, "a look"
            )
            if process.poll() is None:
                _pause(_reader_pid(reader_port))
        code = process.wait(500)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    listener.join(10)
    return DemoRun(home, "".join(lines), code)


def _pause(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        threading.Event().wait(READER_PAUSE_S)
    finally:
        os.kill(pid, signal.SIGCONT)


def _reader_pid(port: int) -> int:
    """The process that was started as `understudy ingest --port PORT`."""
    wanted = ["ingest", "--port", str(port)]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it ended while we looked
            if words[-4:-1] == wanted:
                return int(entry.name)
    raise AssertionError(f"no reader on port {port}")
