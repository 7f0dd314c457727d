"""The demo's own processes: started, watched until ready, and stopped by the ids we were given."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from core.clock import Clock
from core.errors import DependencyError
from core.settings import serving_environment

POLL_S = 0.1
MAX_REVIVALS = 5


@dataclass(frozen=True, slots=True)
class Child:
    """One process; `url` answers /readyz."""

    name: str
    url: str
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes]


@dataclass(slots=True)
class Children:
    """Processes that end with the demo, in the reverse order of their start."""

    logs: Path
    clock: Clock
    environment: dict[str, str] = field(default_factory=dict)
    running: list[Child] = field(default_factory=list)
    revivals: int = 0

    def start(self, name: str, url: str, arguments: Sequence[str]) -> Child:
        """Start `understudy ARGUMENTS...`; its output goes to logs/NAME.log.

        A session of its own keeps the terminal's Ctrl-C away from it: we decide the order of the end.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "understudy", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=serving_environment(**self.environment),
            )
        child = Child(name, url, tuple(arguments), process)
        self.running.append(child)
        return child

    def wait_ready(self, children: Sequence[Child], seconds: float = 60) -> None:
        """Return when every child answers 200 on /readyz.

        Raises:
            DependencyError: one ended or was not ready in time; names it and its log.
        """
        http = urllib3.PoolManager(timeout=2, retries=False)
        deadline_ms = self.clock.now_ms() + round(seconds * 1000)
        for child in children:
            log = self.logs / f"{child.name}.log"
            while child.process.poll() is not None or not _is_ready(http, child.url):
                if child.process.poll() is not None:
                    raise DependencyError(
                        f"{child.name} ended with code {child.process.returncode}; see {log}"
                    )
                if self.clock.now_ms() > deadline_ms:
                    raise DependencyError(f"{child.name} was not ready within {seconds:.0f} s; see {log}")
                self.clock.sleep(POLL_S)

    def revive(self) -> list[str]:
        """Start again what ended on its own, and say what; nothing of theirs is lost by that.

        Raises:
            DependencyError: it happens again and again.
        """
        dead = [child for child in self.running if child.process.poll() is not None]
        self.revivals += len(dead)
        if self.revivals > MAX_REVIVALS:
            raise DependencyError(
                f"{dead[0].name} ended with code {dead[0].process.returncode}, after {MAX_REVIVALS} restarts; "
                f"see {self.logs / dead[0].name}.log"
            )
        for child in dead:
            self.running.remove(child)
            self.start(child.name, child.url, child.arguments)
        return [
            f"{child.name} ended with code {child.process.returncode} and is started again" for child in dead
        ]

    def stop(self, seconds: float = 15) -> None:
        """SIGTERM to each, newest first, then SIGKILL to what is left after `seconds`."""
        for child in reversed(self.running):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        for child in reversed(self.running):
            try:
                child.process.wait(seconds)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self.running.clear()


def _is_ready(http: urllib3.PoolManager, url: str) -> bool:
    try:
        return http.request("GET", f"{url}/readyz").status == 200
    except urllib3.exceptions.HTTPError:
        return False
