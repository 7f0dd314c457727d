"""F37-F40, F42-F45: ticks at once, late or by a wrong clock; what is gone, what is away, what was killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.clock import DAY, HOUR, ManualClock
from core.errors import NotFoundError
from core.settings import PlatformSettings
from deploy.evaluation import canonical
from deploy.evaluator import Evaluator
from deploy.rows import DatabaseRows
from deploy.runtime_process import ProcessRuntime
from storage import releases as store
from storage.database import open_database
from storage.releases import VerdictRow
from tests.faults.test_release_kills import FAKE
from tests.release_support import LOOK_MS, PLAN, FakeRuntime, Script, Stage, make_manager, make_stage
from tests.release_viewers import Viewers
from tests.support import wait_until

LONG_PLAN = replace(PLAN, max_duration_ms=10 * DAY, stale_after_ms=DAY)
LOOKS = 16


def evaluated_stage(home: Path) -> tuple[Stage, Viewers]:
    """v2 before v1's viewers, evaluated for real; nobody will watch it after the sixth look."""
    home.mkdir(exist_ok=True)
    rows = DatabaseRows(open_database(f"sqlite:///{home}/understudy.db"))
    stage = make_stage(home, script=Evaluator(rows))
    stage.publish("v0", "v1", "v2", "v3")
    stage.manager.start("v1")
    release = stage.manager.start("v2", plan=LONG_PLAN)
    return stage, Viewers(stage.database, release.release_id)


def play(viewers: Viewers, from_ms: int, look: int) -> None:
    viewers.play(from_ms + (look + 1) * LOOK_MS, from_ms + look * LOOK_MS, watched_by_canary=look < 6)


def trail(stage: Stage) -> tuple[list[str], VerdictRow | None]:
    release_id = str(stage.manager.history()[0]["release_id"])
    with stage.database.read() as connection:
        looks = store.evaluations_of(connection, release_id)
        return [canonical(look.result) for look in looks], store.verdict_of(connection, release_id)


@pytest.fixture
def in_time(tmp_path: Path) -> tuple[list[str], VerdictRow | None]:
    """The trail of a release whose every tick came when it was due."""
    stage, viewers = evaluated_stage(tmp_path / "in-time")
    began_ms = stage.clock.now_ms()
    for look in range(LOOKS):
        play(viewers, began_ms, look)
        stage.clock.move(LOOK_MS)
        stage.manager.tick()
    looks, verdict = trail(stage)
    assert verdict is not None
    assert verdict.verdict == "roll_back"
    return looks, verdict


def test_f38_a_tick_three_days_late_gives_the_verdict_in_time(
    tmp_path: Path, in_time: tuple[list[str], VerdictRow]
) -> None:
    stage, viewers = evaluated_stage(tmp_path / "late")
    began_ms = stage.clock.now_ms()
    for look in range(LOOKS):
        play(viewers, began_ms, look)
    viewers.play(began_ms + DAY + 2_000, began_ms + DAY)  # long after the verdict was due
    stage.clock.move(3 * DAY)
    stage.manager.settle()
    looks, verdict = trail(stage)
    assert looks == in_time[0]
    assert verdict is not None
    assert (verdict.verdict, verdict.evidence) == (in_time[1].verdict, in_time[1].evidence)
    assert stage.manager.status()["canary"] is None


def test_f37_ticks_at_once_give_one_verdict(tmp_path: Path, in_time: tuple[list[str], VerdictRow]) -> None:
    stage, viewers = evaluated_stage(tmp_path / "at-once")
    began_ms = stage.clock.now_ms()
    for look in range(LOOKS):
        play(viewers, began_ms, look)
    stage.database.close()

    def tick_alone() -> None:
        database = open_database(stage.platform.sql_url)
        evaluator = Evaluator(DatabaseRows(database))
        clock = ManualClock(began_ms + 3 * DAY)
        runtime = stage.runtime.copy()
        make_manager(stage.platform, database, clock, runtime, script=evaluator).tick()

    children = [fork(tick_alone) for _ in range(4)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    looks, verdict = trail(stage)
    assert looks == in_time[0]
    assert verdict is not None
    assert verdict.verdict == "roll_back"
    release_id = str(stage.manager.history()[0]["release_id"])
    with stage.database.read() as connection:
        told = [event.kind for event in store.events_of(connection, release_id)]
        epochs = [plan.epoch for plan in store.plans_of(connection, release_id)]
    assert told.count("verdict") == 1
    assert len(set(epochs)) == len(epochs)


def fork(action: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - the child must not return into the test
            os._exit(1)
        os._exit(0)
    return pid


@pytest.mark.parametrize("off_ms", [-HOUR, HOUR])
def test_f39_a_clock_an_hour_off_gives_no_early_verdict(tmp_path: Path, off_ms: int) -> None:
    """Ahead, the looks of that hour find no data and hold; behind, no look is due before its time."""
    stage, viewers = evaluated_stage(tmp_path / "off")
    began_ms = stage.clock.now_ms()
    for look in range(4):
        play(viewers, began_ms, look)
        stage.clock.move(LOOK_MS)
        stage.manager.tick()
    before = stage.manager.explain()["looks"]
    stage.clock.move(off_ms)
    stage.manager.tick()
    assert trail(stage)[1] is None
    assert stage.manager.explain()["state"] == "running"
    if off_ms < 0:
        assert stage.manager.explain()["looks"] == before


def test_f40_a_new_version_aborts_the_one_on_stage_with_that_reason(tmp_path: Path) -> None:
    stage, _ = evaluated_stage(tmp_path / "new")
    first = str(stage.manager.history()[0]["release_id"])
    second = stage.manager.start("v3", replace=True)
    assert (second.state, second.version) == ("running", "v3")
    told = stage.manager.explain(first)
    assert (told["state"], told["reason"]) == ("aborted", "replaced by v3")


def test_f42_viewers_who_are_not_assigned_as_planned_make_it_invalid(tmp_path: Path) -> None:
    stage, _ = evaluated_stage(tmp_path / "uneven")
    release_id = str(stage.manager.history()[0]["release_id"])
    viewers = Viewers(stage.database, release_id, canary_viewers=300)  # three in ten; planned is one
    began_ms = stage.clock.now_ms()
    for look in range(4):
        play(viewers, began_ms, look)
        stage.clock.move(LOOK_MS)
        stage.manager.settle()
    verdict = trail(stage)[1]
    assert verdict is not None
    assert verdict.verdict == "invalid"
    assert "shares of new viewers are not as planned" in verdict.reason
    assert stage.manager.history()[0]["state"] == "invalid"
    assert stage.manager.status()["canary"] is None
    assert stage.manager.status()["main"]["version"] == "v1"


def test_f44_a_version_that_is_gone_is_refused_before_any_traffic_moves(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, script=Script())
    stage.publish("v1", "v2")
    stage.manager.start("v1")
    stage.manager.start("v2")
    stage.manager.promote(force=True, reason="a drill")
    stage.manager.settle()
    epoch = stage.manager.status()["epoch"]
    shutil.rmtree(stage.platform.bundles / "v1")
    for to in (None, "v1", "v9"):
        with pytest.raises(NotFoundError):
            stage.manager.rollback(to=to, reason="odd lists")
    status = stage.manager.status()
    assert (status["epoch"], status["main"]["version"]) == (epoch, "v2")
    assert [instance["version"] for instance in status["instances"]] == ["v2"]


def test_f43_decisions_ask_neither_prometheus_nor_slack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_time: tuple[list[str], VerdictRow]
) -> None:
    """With every connection refused, a release goes exactly as with all of them."""
    import socket

    def away(*_: Any, **__: Any) -> Any:
        raise OSError("the network is away")

    monkeypatch.setattr(socket.socket, "connect", away)
    stage, viewers = evaluated_stage(tmp_path / "away")
    began_ms = stage.clock.now_ms()
    for look in range(LOOKS):
        play(viewers, began_ms, look)
        stage.clock.move(LOOK_MS)
        stage.manager.tick()
    assert trail(stage)[0] == in_time[0]


def test_f45_a_killed_instance_is_started_again_by_the_next_tick(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    runtime = ProcessRuntime(
        tmp_path, lambda version, port: [sys.executable, FAKE, str(tmp_path), version, str(port)], ready_s=60
    )
    stage = make_stage(tmp_path, script=Script(), runtime=FakeRuntime())
    stage.publish("v1")
    manager = make_manager(stage.platform, stage.database, stage.clock, runtime, script=Script())
    try:
        manager.start("v1")
        (before,) = runtime.instances()
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)  # what the kernel does to a process that takes too much memory
        wait_until(lambda: not runtime.instances()[0].alive, what="its death")
        manager.tick()
        (after,) = runtime.instances()
        assert (after.alive, after.url, after.pid != before.pid) == (True, before.url, True)
    finally:
        for instance in runtime.instances():
            runtime.stop(instance.name)
    assert PlatformSettings(home=tmp_path).bundles == stage.platform.bundles
