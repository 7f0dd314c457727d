"""The load balancer beside nginx and HAProxy, in front of the same arm, in one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.serving_load import Cost, Load, cost, wrk
from tests.benchmarks.serving_page import Row, at_least, at_most
from tests.benchmarks.serving_peers import busy_arm, haproxy, nginx_arm, nginx_proxy
from tests.servers import Server
from tests.serving import Running, open_stage

CONNECTIONS: Final = 16
PAUSE_MS: Final = (
    10  # 16 connections that ask every 10 ms: at most 1,600 requests a second, for everybody the same
)
WORK_MS: Final = 0.7
OURS: Final = "load balancer"


@dataclass(frozen=True)
class Target:
    """A server under load: its process and where it listens."""

    pid: int
    port: int


@contextmanager
def proxies(folder: Path, arm: Server) -> Iterator[dict[str, Target]]:
    """nginx, HAProxy and the load balancer in front of `arm`, and `direct`: the arm itself."""
    with ExitStack() as started:
        nginx = started.enter_context(nginx_proxy(folder / "nginx", arm.port))
        ha = started.enter_context(haproxy(folder / "haproxy", arm.port))
        home = folder / "home"
        home.mkdir()
        stage = started.enter_context(open_stage(home))
        assert arm.process is not None
        stage.publish(Running(arm.process, f"http://127.0.0.1:{arm.port}", home / "arm.log"))
        balancer = stage.balancer()
        yield {
            "direct": _of(arm),
            "nginx": _of(nginx),
            "HAProxy": _of(ha),
            OURS: Target(balancer.process.pid, int(balancer.url.rpartition(":")[2])),
        }


def cost_rows(folder: Path, seconds: int, rounds: int) -> list[Row]:
    """Processor time of a request: everybody under the same load, then everybody under as much as it bears."""
    rows = []
    with nginx_arm(folder / "arm") as arm, proxies(folder, arm) as targets:
        for pause_ms, how in ((PAUSE_MS, "at the same rate"), (0, "saturated")):
            best = _cheapest(folder, targets, seconds, rounds, pause_ms)
            peers = " / ".join(f"{name} {best[name].total_us:.0f}" for name in ("nginx", "HAProxy"))
            ours, peer = best[OURS], best["nginx"].total_us
            rate = f"{best['nginx'].load.rate:.0f} and {ours.load.rate:.0f} requests/s"
            said = f"{ours.first_threads_us:.0f} µs against {peers}; {rate}"
            must = at_most(ours.first_threads_us / peer, 4, 2.5, " times")
            rows.append(Row(f"CPU per request against nginx, {how}", must, said))
            threads = ours.total_us - ours.first_threads_us
            rows.append(
                Row(f"exposures and other threads, {how}", f"{threads / peer:.2f} times", f"{threads:.0f} µs")
            )
    return rows


def kept_rows(folder: Path, seconds: int, rounds: int) -> list[Row]:
    """How much of the rate of an arm that computes for 0.7 ms is left behind each proxy."""
    with busy_arm(folder / "busy", WORK_MS) as arm, proxies(folder, arm) as targets:
        best: dict[str, float] = {}
        for _ in range(rounds):
            for name, target in targets.items():
                load = wrk(folder, target.port, seconds=seconds, connections=CONNECTIONS)
                assert load.failed == 0, load
                best[name] = max(best.get(name, 0.0), load.rate)
    kept = {name: rate / best["direct"] for name, rate in best.items()}
    said = f"nginx {kept['nginx']:.0%}, HAProxy {kept['HAProxy']:.0%}; {best['direct']:.0f} requests/s without any"
    return [Row("requests/s kept, an arm of 0.7 ms", at_least(100 * kept[OURS], 85, 95, " %"), said)]


def latency_rows(folder: Path, seconds: int, rounds: int) -> list[Row]:
    """What the load balancer adds to the arm's latency at half of the rate that it can bear."""
    with nginx_arm(folder / "arm") as arm, proxies(folder, arm) as targets:
        most = max(
            wrk(folder, targets[OURS].port, seconds=seconds, connections=CONNECTIONS).rate for _ in range(2)
        )
        pause_ms = max(1, round(1000 * CONNECTIONS / (most / 2)))
        best: dict[str, Load] = {}
        for _ in range(rounds):
            for name, target in targets.items():
                load = wrk(folder, target.port, seconds=seconds, connections=CONNECTIONS, pause_ms=pause_ms)
                if name not in best or load.p99_ms < best[name].p99_ms:
                    best[name] = load
    ours, direct = best[OURS], best["direct"]
    peers = ", ".join(
        f"{name} {best[name].median_ms - direct.median_ms:.2f} / {best[name].p99_ms - direct.p99_ms:.2f}"
        for name in ("nginx", "HAProxy")
    )
    said = f"{peers}; at {ours.rate:.0f} of {most:.0f} requests/s"
    return [
        Row(
            "added latency at half load, median",
            at_most(ours.median_ms - direct.median_ms, 0.5, 0.3, " ms"),
            said,
        ),
        Row("added latency at half load, p99", at_most(ours.p99_ms - direct.p99_ms, 2, 1, " ms"), said),
    ]


def _cheapest(
    folder: Path, targets: dict[str, Target], seconds: int, rounds: int, pause_ms: int
) -> dict[str, Cost]:
    """The cheapest of several rounds of each, taken in turn: what else runs here only makes them dearer."""
    best: dict[str, Cost] = {}
    for _ in range(rounds):
        for name, target in targets.items():
            found = cost(
                folder, target.pid, target.port, seconds=seconds, connections=CONNECTIONS, pause_ms=pause_ms
            )
            if name not in best or found.total_us < best[name].total_us:
                best[name] = found
    return best


def _of(server: Server) -> Target:
    assert server.process is not None
    return Target(server.process.pid, server.port)
