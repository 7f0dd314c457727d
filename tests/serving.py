"""Serving processes for tests: a platform's folder, load balancers, arms; started and stopped by their own ids."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from core.clock import SystemClock
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.exposures import Exposure, decode_exposures
from core.settings import PlatformSettings, child_environment
from core.traffic import TrafficPlan, Upstream
from storage.connect import open_event_log, open_main_store
from storage.event_log import Record
from storage.migrate import migrate
from storage.releases import current_plan, publish_plan
from tests.support import free_port, wait_until

ROOT = Path(__file__).parents[1]
BALANCE = (
    "import sys; from core.settings import PlatformSettings; from load_balancer.server import run;"
    "from load_balancer.settings import BalancerSettings;"
    "run(BalancerSettings.load(port=int(sys.argv[2])), PlatformSettings.load(home=sys.argv[1]))"
)
SERVE = (
    "import sys; from core.settings import PlatformSettings; from inference.server import run;"
    "from inference.settings import InferenceSettings;"
    "run(InferenceSettings.load(port=int(sys.argv[2])), PlatformSettings.load(home=sys.argv[1]), sys.argv[3])"
)


def http_get(url: str, **headers: str) -> urllib3.BaseHTTPResponse:
    """One GET on a connection of its own."""
    with urllib3.PoolManager() as alone:  # else a kept one is answered by whom it was opened to, gone or not
        return alone.request("GET", url, headers=headers, retries=False, timeout=10, redirect=False)


@dataclass
class Running:
    """A process with a URL."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds: float = 15) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def ready(self) -> bool:
        assert self.process.poll() is None, f"ended: {self.log.read_text()[-3000:]}"
        try:
            return http_get(f"{self.url}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False


@dataclass
class Stage:
    """A platform's folder with its stores, and the processes started on it."""

    home: Path
    running: list[Running] = field(default_factory=list)

    @property
    def platform(self) -> PlatformSettings:
        return PlatformSettings.load(home=self.home)

    def start(self, name: str, port: int, arguments: Sequence[str], **environment: str) -> Running:
        log = self.home / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=child_environment(**environment),
            )
        self.running.append(Running(process, f"http://127.0.0.1:{port}", log))
        return self.running[-1]

    def arm(self, version: str, mode: str = "ok", port: int | None = None) -> Running:
        """A fake arm, listening."""
        port = port or free_port()
        arm = self.start(f"arm-{version}", port, ["-m", "tests.fake_arm", str(port), version, mode])
        wait_until(arm.ready, 20, f"arm {version}")
        return arm

    def balancer(self, *, ready: bool = True, port: int | None = None, **environment: str) -> Running:
        """A load balancer; `environment` are settings, as in UNDERSTUDY_BALANCER_EVENTS_MS."""
        port = port or free_port()
        # Neither an idle connection of a test's client nor anybody who looks at /readyz holds up the end, and a
        # machine that is busy with other tests turns nobody away.
        settings = {
            "UNDERSTUDY_BALANCER_KEEPALIVE_S": "1",
            "UNDERSTUDY_BALANCER_DRAIN_MS": "0",
            "UNDERSTUDY_BALANCER_LATE_MS": "10000",
            **environment,
        }
        balancer = self.start("balancer", port, ["-c", BALANCE, str(self.home), str(port)], **settings)
        if ready:
            wait_until(balancer.ready, 20, "the load balancer")
        return balancer

    def inference(self, version: str, *, ready: bool = True, **environment: str) -> Running:
        """The real inference service of a version in the bundle store."""
        port = free_port()
        service = self.start(
            f"inference-{version}", port, ["-c", SERVE, str(self.home), str(port), version], **environment
        )
        if ready:
            wait_until(service.ready, 30, f"inference of {version}")
        return service

    def publish(
        self,
        main: Running,
        canary: Running | None = None,
        *,
        share: float = 0.5,
        fallback: Sequence[str] = (),
        **given: object,
    ) -> TrafficPlan:
        """Put a plan in force: main serves v1, the canary v2."""
        store = open_main_store(self.platform)
        with store.begin() as connection:
            before = current_plan(connection)
            plan = TrafficPlan(
                epoch=before.epoch + 1 if before else 1,
                created_ms=SystemClock().now_ms(),
                main=Upstream(version="v1", bundle_digest="sha256:v1", url=main.url),
                canary=Upstream(version="v2", bundle_digest="sha256:v2", url=canary.url) if canary else None,
                share=share,
                salt="salt",
                release_id="release-1",
                stage=1,
                fallback=tuple(fallback),
                **given,  # type: ignore[arg-type]
            )
            publish_plan(connection, plan)
        store.close()
        return plan

    def records(self, topic: str) -> list[Record]:
        """Everything in the embedded log under this topic."""
        log = open_event_log(self.platform, SystemClock())
        consumer = log.consumer("test", [topic])
        found: list[Record] = []
        while batch := consumer.poll(10_000, 0.2):
            found += batch
        log.close()
        return found

    def exposures(self) -> list[Exposure]:
        return [
            e for record in self.records(TOPIC_EXPOSURES) for e in decode_exposures(record.value or b"[]")
        ]

    def events(self) -> list[Record]:
        return self.records(TOPIC_INTERACTIONS)


@contextmanager
def open_stage(home: Path) -> Iterator[Stage]:
    """An empty platform; every process started on it is gone at the end."""
    stage = Stage(home)
    migrate(stage.platform.sql_url)
    try:
        yield stage
    finally:
        for running in stage.running:
            if running.process.poll() is None:
                running.kill()
