"""F36: SIGKILL at every step of a release. Afterwards there is exactly one main, and the work is finished.

The step at which the process dies is counted: each stored transition, and before and after each start and
stop of an instance. Every count is one case, until one is so high that nobody dies.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.settings import PlatformSettings
from core.traffic import TrafficPlan
from deploy.releases import ReleaseManager
from deploy.runtime import Instance
from deploy.runtime_process import ProcessRuntime
from deploy.settings import DeploySettings
from deploy.smoke import smoke
from deploy.wiring import assemble
from storage import releases as store
from storage.database import Database, open_database
from tests.release_support import LOOK_MS, PLAN, Script, make_tables, no_objection, publish_bundle
from tests.support import wait_until

FAKE = str(Path(__file__).with_name("fake_serve.py"))
START_MS = 1_700_000_000_000


class Countdown:
    """Ends this process, as a power cut would, the `point`-th time it is told of a step."""

    def __init__(self, point: int) -> None:
        self.left = point

    def __call__(self, _: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class CountedRuntime(ProcessRuntime):
    """Tells the countdown before and after every start and stop."""

    countdown: Callable[[], None] = lambda: None

    def start(self, version: str, digest: str, name: str) -> Instance:
        self.countdown()
        instance = super().start(version, digest, name)
        self.countdown()
        return instance

    def stop(self, name: str) -> None:
        self.countdown()
        super().stop(name)
        self.countdown()


@dataclass
class Home:
    """One platform in a folder, and who acts in it."""

    folder: Path
    decisions: dict[int, str]

    def act(
        self, scenario: Callable[[ReleaseManager, ManualClock], None], point: int, late_ms: int = 0
    ) -> None:
        """Run the scenario in this process, until the countdown ends it."""
        clock, countdown = ManualClock(START_MS + late_ms), Countdown(point)
        platform = PlatformSettings(home=self.folder)
        database = open_database(platform.sql_url)
        runtime = CountedRuntime(self.folder, self.command, ready_s=60, stop_s=5)
        runtime.countdown = countdown
        manager = assemble(
            platform,
            DeploySettings(drain_s=0),
            clock,
            database,
            runtime,
            gate=no_objection,
            complete=lambda _: True,
            smoke=smoke,
            fallback=lambda _: ("v1",),
            evaluator=Script(dict(self.decisions)),  # type: ignore[arg-type]
            plan=replace(PLAN, max_duration_ms=10**12),
            on_step=countdown,
        )
        try:
            scenario(manager, clock)
        finally:
            database.close()

    def command(self, version: str, port: int) -> Sequence[str]:
        return [sys.executable, FAKE, str(self.folder), version, str(port)]

    def database(self) -> Database:
        return open_database(PlatformSettings(home=self.folder).sql_url)

    def plan(self) -> TrafficPlan:
        database = self.database()
        with database.read() as connection:
            plan = store.current_plan(connection)
        database.close()
        assert plan is not None
        return plan

    def newest_state(self) -> str:
        database = self.database()
        with database.read() as connection:
            state = store.list_releases(connection, 1)[0].state
        database.close()
        return state

    def processes(self) -> set[int]:
        """Every process of this home, whoever started it and whether or not anybody remembers it."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
            except OSError:
                continue
            if FAKE.encode() in words and str(self.folder).encode() in words:
                found.add(int(entry.parent.name))
        return found


def in_a_process_of_its_own(action: Callable[[], None]) -> int:
    """Fork, act, and say how it ended: 0, or minus the signal. Only what the child does can be killed."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - the child must not return into the test
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def release_v2(manager: ReleaseManager, clock: ManualClock) -> None:
    manager.start("v2")
    for _ in range(2):
        clock.move(LOOK_MS)
        manager.tick()
    manager.settle()


def go_back_to_v0(manager: ReleaseManager, clock: ManualClock) -> None:
    manager.rollback(to="v0", reason="a drill")


def finish(manager: ReleaseManager, clock: ManualClock) -> None:
    """What the scheduler of the next process does."""
    for _ in range(4):
        manager.settle()
        clock.move(LOOK_MS)
    manager.tick()


SCENARIOS = {
    "promotion": (release_v2, {1: "step_ramp", 2: "promote"}, "v2", "promoted"),
    "rollback": (release_v2, {2: "roll_back"}, "v1", "rolled_back"),
    "going back": (go_back_to_v0, {}, "v0", "promoted"),
}


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Callable[[str, dict[int, str]], Home]]:
    """Platforms with v1 as main; all their processes end with the test."""
    made: list[Home] = []

    def make(name: str, decisions: dict[int, str]) -> Home:
        home = Home(tmp_path / name, decisions)
        home.folder.mkdir()
        make_tables(home.folder / "understudy.db")
        for version in ("v0", "v1", "v2"):
            publish_bundle(home.folder / "bundles", version)
        home.act(lambda manager, _: manager.start("v1") and None, point=0)
        made.append(home)
        return home

    yield make
    for home in made:
        for pid in home.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", SCENARIOS)
def test_exactly_one_main_after_a_kill_at_every_step(
    name: str, homes: Callable[[str, dict[int, str]], Home]
) -> None:
    scenario, decisions, main, state = SCENARIOS[name]
    point, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        point += 1
        home = homes(f"{name}-{point}".replace(" ", "-"), decisions)
        ended = in_a_process_of_its_own(
            lambda home=home, point=point: home.act(scenario, point, late_ms=1_000)
        )  # type: ignore[misc]
        assert ended in {0, -signal.SIGKILL}, f"step {point}: the release failed by itself"
        smoke(_main_of(home))  # at the instant of the kill the one main of the plan answers
        begun = home.newest_state()
        home.act(finish, point=0, late_ms=LOOK_MS)
        plan = home.plan()
        if (plan.main.version, home.newest_state()) != (main, state):
            assert point <= 1, f"step {point}: found {begun}, left {home.newest_state()} under {plan.main}"
        assert plan.canary is None, f"step {point}"
        smoke(_main_of(home))
        wait_until(lambda home=home: len(home.processes()) == 1, what=f"step {point}: one process")  # type: ignore[misc]
        for pid in home.processes():
            os.kill(pid, signal.SIGKILL)
    print(f"{name}: killed at {point - 1} steps, exactly one main after each")
    assert point > 6


def _main_of(home: Home) -> Instance:
    main = home.plan().main
    return Instance("main", main.version, main.bundle_digest, main.url, None, True)
