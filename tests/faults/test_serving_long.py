"""What only shows after a while: fifty reloads, a million requests, and a soak. Part of `make test-long`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.serving import Stage, open_stage
from tests.serving_trials import abort_seconds, arms_kept, reload_under_load, visiting
from tests.support import children_of, wait_until

pytestmark = pytest.mark.long

SOAK_S = 600.0
WARM_S = 60.0
MORE_MEMORY = 1.1  # what the allocator may still take once everything has been used


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as stage:
        yield stage


def test_fifty_reloads_and_recyclings_lose_nothing(stage: Stage) -> None:
    # F30
    stage.publish(stage.arm("v1"))
    visits = reload_under_load(stage.balancer(), 50)
    print(f"\n{len(visits.seen):,} requests over 50 reloads and recyclings")
    assert visits.lost == []


def test_an_abort_reaches_the_last_viewer_within_a_second(stage: Stage) -> None:
    main, canary = stage.arm("v1"), stage.arm("v2")
    stage.publish(main)  # without a plan no load balancer is ready
    balancer = stage.balancer()
    taken = [abort_seconds(stage, balancer, main, canary) for _ in range(5)]
    print(f"\nabort to the last canary request: {max(taken):.2f} s at most")
    assert max(taken) <= 1


@pytest.mark.timeout(3_600)
def test_three_load_balancers_keep_every_viewer_on_the_plans_arm(stage: Stage, tmp_path: Path) -> None:
    # F34, F35
    plan = stage.publish(stage.arm("v1"), stage.arm("v2"), share=0.3)
    balancers = [stage.balancer() for _ in range(3)]
    requests = rounds = 0
    while requests < 1_000_000:
        found = arms_kept(tmp_path, plan, balancers, seconds=20)
        assert (found.wrong, found.failed) == (0, 0)
        requests += found.requests
        balancers[rounds % 3].kill()
        balancers[rounds % 3] = stage.balancer()
        rounds += 1
    print(f"\n{requests:,} requests over {rounds} restarts")


@pytest.mark.timeout(3_600)
def test_memory_and_descriptors_stay_flat(stage: Stage) -> None:
    # F46, the load balancer's part
    stage.publish(stage.arm("v1"), stage.arm("v2"), share=0.3)
    balancer = stage.balancer()
    (worker,) = children_of(balancer.process.pid)
    with visiting(balancer) as visits:
        began = monotonic()
        wait_until(lambda: monotonic() - began > WARM_S, 2 * WARM_S, "warm")
        before = _memory_kb(worker), _descriptors(worker)
        wait_until(lambda: monotonic() - began > SOAK_S, 2 * SOAK_S, "the soak's end")
        after = _memory_kb(worker), _descriptors(worker)
    print(
        f"\n{len(visits.seen):,} requests: {before[0]:,} to {after[0]:,} KB, {before[1]} to {after[1]} descriptors"
    )
    assert visits.lost == []
    assert after[0] <= before[0] * MORE_MEMORY
    assert after[1] <= before[1] + 2


def _memory_kb(pid: int) -> int:
    found = re.search(r"Rss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert found is not None
    return int(found[1])


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
