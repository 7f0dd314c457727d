"""F46: an hour of a release, tick by tick and with its page open: memory and descriptors stay flat.

The clock is moved, so an hour takes as long as its work: two ticks a second and a page every ten, real processes
to look after, rows of viewers to evaluate. What is compared is the process with itself, after its first quarter
and in the end.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.clock import DAY
from core.metrics import new_registry
from deploy.evaluator import Evaluator
from deploy.rows import DatabaseRows
from deploy.runtime_process import ProcessRuntime
from load_balancer.control.app import create_control
from tests.faults.test_release_kills import FAKE
from tests.release_support import LOOK_MS, PLAN, Stage, make_manager, make_stage
from tests.release_viewers import Viewers

TICK_MS = 500
PLAYED = 30 * LOOK_MS  # the viewers of a part of the hour; then everybody is asleep, which is nobody's fault
CALM = replace(PLAN, min_duration_ms=DAY, max_duration_ms=10 * DAY, stale_after_ms=DAY)
MEGABYTE = 2**20


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def real_stage(home: Path) -> tuple[Stage, ProcessRuntime]:
    """v2 before v1's viewers, both as processes, evaluated for real."""
    runtime = ProcessRuntime(
        home, lambda version, port: [sys.executable, FAKE, str(home), version, str(port)], ready_s=60
    )
    stage = make_stage(home)
    stage.publish("v1", "v2")
    evaluator = Evaluator(DatabaseRows(stage.database))
    stage.manager = make_manager(stage.platform, stage.database, stage.clock, runtime, script=evaluator)
    return stage, runtime


@pytest.mark.parametrize(
    "minutes", [10, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(3_600)])]
)
def test_f46_memory_and_descriptors_stay_flat(tmp_path: Path, minutes: int) -> None:
    stage, runtime = real_stage(tmp_path)
    pages = create_control(stage.database, stage.clock, new_registry("control")).test_client()
    ticks = minutes * 60_000 // TICK_MS
    try:
        stage.manager.start("v1")
        release = stage.manager.start("v2", plan=CALM)
        began_ms = stage.clock.now_ms()
        Viewers(stage.database, release.release_id).play(began_ms + PLAYED, began_ms)
        seen = []
        for tick in range(1, ticks + 1):
            stage.clock.move(TICK_MS)
            stage.manager.tick()
            if tick % 20 == 0:
                assert pages.get(f"/releases/{release.release_id}").status_code == 200
            if tick in {ticks // 4, ticks}:
                seen.append((descriptors(), resident()))
        looks = stage.manager.explain()["looks"]
    finally:
        for instance in runtime.instances():
            runtime.stop(instance.name)
    (files, memory), (files_after, memory_after) = seen
    print(
        f"{ticks} ticks, {looks} looks: {(memory_after - memory) / MEGABYTE:+.1f} MB, {files_after - files:+d} files"
    )
    assert looks == ticks * TICK_MS // LOOK_MS
    assert files_after <= files
    assert memory_after - memory < 8 * MEGABYTE
