"""Load from wrk, and what it costs the processes that bear it."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support import children_of

_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Viewers differ, as in life; `pause_ms` spreads the requests of a connection, so that the rate can be chosen.
_SCRIPT = """\
local asked, next = {{}}, 0
init = function(args)
  for n = 1, 1000 do asked[n] = wrk.format("GET", (string.gsub("{path}", "@", n))) end
end
request = function()
  next = next % 1000 + 1
  return asked[next]
end
{delay}
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.errors.status, latency:percentile(50), latency:percentile(99)))
end
"""
_DELAY = "delay = function() return math.random(0, {most}) end"
_RESULT: Final = re.compile(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)")


@dataclass(frozen=True)
class Load:
    """What wrk saw: `failed` counts broken connections, time-outs and statuses other than 2xx and 3xx."""

    requests: int
    seconds: float
    failed: int
    median_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def wrk(
    folder: Path,
    port: int,
    *,
    seconds: int,
    connections: int,
    pause_ms: int = 0,
    path: str = "/recommend/viewer-@?count=20",
) -> Load:
    """Load from one thread of wrk. With a pause (its mean) each connection asks now and then; @ is 1 to 1,000."""
    script = folder / "load.lua"
    delay = _DELAY.format(most=2 * pause_ms) if pause_ms else ""
    script.write_text(_SCRIPT.format(path=path, delay=delay))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True
    ).stdout
    found = _RESULT.search(said)
    assert found is not None, said
    requests, micros, broken, refused, median, p99 = (int(group) for group in found.groups())
    return Load(requests, micros / 1e6, broken + refused, median / 1000, p99 / 1000)


@dataclass(frozen=True)
class Cpu:
    """Processor seconds of a process and its children: all threads, and their first threads alone."""

    total_s: float
    first_threads_s: float

    def __sub__(self, before: Cpu) -> Cpu:
        return Cpu(self.total_s - before.total_s, self.first_threads_s - before.first_threads_s)


@dataclass(frozen=True)
class Cost:
    """One run of load against one server, and the microseconds of processor that a request took."""

    load: Load
    total_us: float
    first_threads_us: float


def cost(folder: Path, pid: int, port: int, **given: Any) -> Cost:
    """`wrk` with these arguments, and what it cost the process and its children."""
    before = cpu_of(pid)
    load = wrk(folder, port, **given)
    used = cpu_of(pid) - before
    assert load.failed == 0, load
    return Cost(load, 1e6 * used.total_s / load.requests, 1e6 * used.first_threads_s / load.requests)


def cpu_of(pid: int) -> Cpu:
    """Of this process and of those it has started."""
    pids = [pid, *children_of(pid)]
    return Cpu(
        sum(_seconds(Path(f"/proc/{each}/stat")) for each in pids),
        sum(_seconds(Path(f"/proc/{each}/task/{each}/stat")) for each in pids),
    )


def _seconds(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
