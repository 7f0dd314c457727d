"""Trials of a running load balancer that count what viewers lose: shared by tests and `make bench-serving`."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from core.traffic import TrafficPlan
from load_balancer.assignment import assign
from tests.serving import Running, Stage
from tests.support import children_of, wait_until

_CHECK: Final = """\
local expected = {{{expected}}}
local wrong, next = 0, 0
request = function()
  next = next % {viewers} + 1
  return wrk.format("GET", "/recommend/viewer-" .. next .. "?count=1")
end
response = function(status, headers, body)
  local viewer, arm = string.match(body, '"user_id":"viewer%-(%d+)","arm":"(%a+)"')
  if expected[tonumber(viewer)] ~= arm then wrong = wrong + 1; io.write("WRONG " .. body:sub(1, 200) .. "\\n") end
end
done = function(summary)
  io.write(string.format("RESULT %d %d\\n", summary.requests, summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout + summary.errors.status))
end
"""


@dataclass
class Visits:
    """What viewers saw on kept connections that send nothing twice: when, the status or the error, the arm."""

    seen: list[tuple[float, int | str, str]] = field(default_factory=list)

    @property
    def lost(self) -> list[int | str]:
        return [status for _, status, _ in self.seen if status != 200]

    def more_than(self, count: int) -> bool:
        return len(self.seen) > count

    def last_of(self, arm: str) -> float:
        """When the last answer of this arm came."""
        return max((at for at, _, seen in self.seen if seen == arm), default=float("-inf"))


@contextmanager
def visiting(balancer: Running, threads: int = 4) -> Iterator[Visits]:
    """Viewers without a pause until the block ends; a request that fails is not sent again, but counted."""
    visits, stop = Visits(), threading.Event()

    def come(number: int) -> None:
        address = balancer.url.removeprefix("http://")
        opened, visit = http.client.HTTPConnection(address, timeout=20), number
        while not stop.is_set():
            try:
                opened.request("GET", f"/recommend/viewer-{visit}?count=1")
                answer = opened.getresponse()  # closes the connection where the server says so
                arm = json.loads(answer.read()).get("arm", "")
                visits.seen.append((monotonic(), answer.status, arm))
            except (OSError, http.client.HTTPException) as error:
                visits.seen.append((monotonic(), repr(error), ""))
                opened.close()
            visit += threads
        opened.close()

    with ThreadPoolExecutor(threads) as pool:
        running: list[Future[None]] = [pool.submit(come, number) for number in range(threads)]
        try:
            yield visits
        finally:
            stop.set()
    for each in running:
        each.result()


def reload_under_load(balancer: Running, times: int) -> Visits:
    """Every other time the configuration is reloaded, else the worker is replaced as by recycling."""
    with visiting(balancer) as visits:
        for number in range(times):
            (old,) = children_of(balancer.process.pid)
            if number % 2:
                balancer.process.send_signal(signal.SIGHUP)
            else:
                os.kill(old, signal.SIGTERM)
            before = len(visits.seen)
            wait_until(partial(_replaced, balancer, old), 60, "another worker")
            wait_until(partial(visits.more_than, before + 20), 60, "viewers served by it")
    return visits


def abort_seconds(stage: Stage, balancer: Running, main: Running, canary: Running) -> float:
    """From the plan without a canary being in SQL to the last answer that the canary gave to anybody."""
    stage.publish(main, canary, share=0.5)
    with visiting(balancer) as visits:
        wait_until(lambda: visits.last_of("canary") > 0, 20, "an answer of the canary's")
        stage.publish(main, share=0.0)
        published = monotonic()
        wait_until(lambda: monotonic() - visits.last_of("canary") > 2, 60, "two seconds without the canary")
    assert visits.lost == []
    return max(0.0, visits.last_of("canary") - published)


@dataclass(frozen=True)
class Consistency:
    """How many requests were answered, by another arm than the plan's, and not at all."""

    requests: int
    wrong: int
    failed: int


def arms_kept(
    folder: Path, plan: TrafficPlan, balancers: list[Running], *, seconds: int, viewers: int = 20_000
) -> Consistency:
    """Ask all load balancers at once for the same viewers, and compare the arm with the plan's own arithmetic."""
    arms = ",".join(f'"{assign(plan, f"viewer-{number}")}"' for number in range(1, viewers + 1))
    script = folder / "arms.lua"
    script.write_text(_CHECK.format(expected=arms, viewers=viewers))
    with ThreadPoolExecutor(len(balancers)) as pool:
        said = list(pool.map(lambda balancer: _wrk(script, balancer.url, seconds), balancers))
    results = [line.split()[1:] for text in said for line in text.splitlines() if line.startswith("RESULT")]
    wrong = sum(text.count("WRONG") for text in said)
    return Consistency(sum(int(r) for r, _ in results), wrong, sum(int(f) for _, f in results))


def _wrk(script: Path, url: str, seconds: int) -> str:
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", str(script), url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _replaced(balancer: Running, old: int) -> bool:
    return old not in children_of(balancer.process.pid) and len(children_of(balancer.process.pid)) == 1
