"""What viewers lose while the load balancer is reloaded, aborts a canary, or is one of three."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.benchmarks.serving_page import Row, at_most
from tests.serving import Stage, open_stage
from tests.serving_trials import abort_seconds, arms_kept, reload_under_load

RELOADS: Final = 50
ABORTS: Final = 5
BALANCERS: Final = 3
REQUESTS: Final = 1_000_000


def fault_rows(folder: Path, seconds: int, rounds: int) -> list[Row]:
    """The rows that count what is lost; as many requests as the table asks for, however long it takes."""
    home = folder / "home"
    home.mkdir()
    with open_stage(home) as stage:
        return [reload_row(stage), abort_row(stage), consistency_row(stage, folder)]


def reload_row(stage: Stage) -> Row:
    stage.publish(stage.arm("v1"))
    visits = reload_under_load(stage.balancer(), RELOADS)
    return Row(
        f"requests lost over {RELOADS} reloads and recyclings",
        at_most(len(visits.lost), 0, 0, ""),
        f"of {len(visits.seen):,} on kept connections",
    )


def abort_row(stage: Stage) -> Row:
    main, canary, balancer = stage.arm("v1"), stage.arm("v2"), stage.balancer()
    taken = [abort_seconds(stage, balancer, main, canary) for _ in range(ABORTS)]
    said = f"the longest of {ABORTS}: {', '.join(f'{each:.2f}' for each in taken)}"
    return Row("abort to the last canary request", at_most(max(taken), 1, 0.3, " s"), said)


def consistency_row(stage: Stage, folder: Path) -> Row:
    """Three load balancers, of which one is killed and started again between the rounds."""
    plan = stage.publish(stage.arm("v1"), stage.arm("v2"), share=0.3)
    balancers = [stage.balancer() for _ in range(BALANCERS)]
    requests = wrong = failed = restarts = 0
    while requests < REQUESTS:
        found = arms_kept(folder, plan, balancers, seconds=20)
        requests, wrong, failed = requests + found.requests, wrong + found.wrong, failed + found.failed
        balancers[restarts % BALANCERS].kill()
        balancers[restarts % BALANCERS] = stage.balancer()
        restarts += 1
    return Row(
        f"viewers on another arm than the plan's, {BALANCERS} load balancers",
        at_most(wrong + failed, 0, 0, ""),
        f"of {requests:,} requests over {restarts} restarts",
    )
