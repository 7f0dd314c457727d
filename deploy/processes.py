"""Processes told apart beyond their number: a pid is reused, a pid with its start time is not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process of this boot: its number and when it started (clock ticks since boot, or a date)."""

    pid: int
    started: str


def identify(pid: int) -> ProcessId | None:
    """The identity of a process that runs now; None for one that does not exist or is a zombie."""
    started = _started(pid)
    return ProcessId(pid, started) if started else None


def is_running(process: ProcessId) -> bool:
    """Whether exactly this process still runs. Reaps it where it was a child of ours and has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return identify(process.pid) == process


def terminate(process: ProcessId, grace_s: float) -> None:
    """SIGTERM to the process, SIGKILL to its group when the grace is over; returns once it is gone.

    The process leads its own session (we started it so), so the group holds its workers and nobody else's.
    """
    if not is_running(process):
        return
    _signal(process.pid, signal.SIGTERM)
    if not _gone_within(process, grace_s):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        _gone_within(process, 5)


def _gone_within(process: ProcessId, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _started(pid: int) -> str:
    """Start time from /proc where there is one, else from `ps`; empty when the process is gone."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return ""
        state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
        return "" if state in {"Z", "X"} else fields[18]  # field 22 of proc(5)
    listed = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = listed.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
