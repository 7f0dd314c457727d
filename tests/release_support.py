"""What tests of releases share: bundles of nothing, a runtime in memory, looks that follow a script."""

from __future__ import annotations

import functools
import math
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import SecretStr

from core.clock import ManualClock
from core.errors import DependencyError
from core.settings import PlatformSettings
from deploy.evaluation import Look, LookResult, Matured, ReleasePlan, Served, State, step
from deploy.evaluation.plan import RampStage
from deploy.evaluation.results import ArmCounts, Decision, Evidence, StageCounts
from deploy.releases import Gate, ReleaseManager
from deploy.runtime import Instance, Runtime
from deploy.settings import DeploySettings
from deploy.smoke import SmokeError
from deploy.wiring import assemble
from deploy.worker import Looking
from storage.bundles import BundleRef, Manifest, publish, staging_folder
from storage.database import Database, open_database
from storage.migrate import migrate

LOOK_MS = 5_000
PLAN = ReleasePlan(
    window_ms=10_000,
    ingest_delay_ms=1_000,
    look_every_ms=LOOK_MS,
    min_duration_ms=20_000,
    max_duration_ms=600_000,
    stale_after_ms=60_000,
    ramp=(RampStage(0.1, 100), RampStage(0.5)),
    on_inconclusive="roll_back",
)


def publish_bundle(store: Path, version: str) -> BundleRef:
    """A bundle with the two files that a release itself reads."""
    manifest = Manifest(
        version=version,
        created_ms=1,
        as_of_ms=1,
        data_digest="sha256:0",
        code_revision="test",
        encoder="none",
        encoder_digest="sha256:0",
        dimensions={"videos": 1, "embedding": 1},
    )
    with staging_folder(store) as staging:
        (staging / "content.txt").write_text(version)
        return publish(store, staging, manifest)


class FakeRuntime:
    """Instances that are always ready. `broken` versions never start; `kill` makes one dead."""

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.broken = set(broken)
        self.running: dict[str, Instance] = {}
        self.started: list[str] = []
        self._port = 9_000

    def start(self, version: str, digest: str, name: str) -> Instance:
        found = self.running.get(name)
        if found is not None and found.alive:
            return found
        if version in self.broken:
            raise DependencyError(f"{version} is broken")
        self.started.append(name)
        self._port += 1
        url = found.url if found is not None else f"http://127.0.0.1:{self._port}"
        self.running[name] = Instance(name, version, digest, url, self._port, True)
        return self.running[name]

    def stop(self, name: str) -> None:
        self.running.pop(name, None)

    def instances(self) -> list[Instance]:
        return list(self.running.values())

    def copy(self) -> FakeRuntime:
        """Another one with the same instances."""
        other = FakeRuntime()
        other.running, other._port = dict(self.running), self._port
        return other

    def kill(self, name: str) -> None:
        one = self.running[name]
        self.running[name] = Instance(one.name, one.version, one.digest, one.url, None, False)


def look_result(
    look: int,
    at_ms: int,
    decision: Decision = "continue",
    *,
    stage: int = 1,
    requests: int = 0,
    theta: float | None = None,
    log_promote: float = 0.0,
    log_harm: float = 0.0,
    main_only: bool = False,
    why: str = "",
) -> LookResult:
    """A look as the kernel would give it, with the numbers that a test cares about."""
    arm = ArmCounts(requests, requests // 10)
    se = None if theta is None else 1 / math.sqrt(max(requests, 1) / 20)
    return LookResult(
        look=look,
        at_ms=at_ms,
        elapsed_ms=look * LOOK_MS,
        stage=stage,
        next_stage=stage + 1 if decision == "step_ramp" else None,
        decision=decision,
        reasons=(why or f"Because of look {look}.",),
        main_only=main_only,
        theta=theta,
        theta_unadjusted=theta,
        se=se,
        low=None if theta is None or se is None else theta - 3 * se,
        high=None if theta is None or se is None else theta + 3 * se,
        information=0.0 if se is None else 1 / se**2,
        cuped_beta=0.0,
        canary_viewers=requests // 10,
        main_viewers=requests,
        canary=arm,
        main=ArmCounts(9 * requests, requests),
        arm_changes=0,
        evidence=(
            Evidence("harm_ratio", log_harm, math.log(100)),
            Evidence("harm_first_success", log_harm / 2, math.log(100)),
            Evidence("non_inferiority", log_promote, math.log(20)),
        ),
        stages=(StageCounts(1, 0.1, arm, ArmCounts(9 * requests, requests), theta, 1.0, theta is not None),),
        guardrails=(),
        sample_ratio=(),
    )


@dataclass
class Script:
    """Looks by number: the decision, or a function of (look, at_ms); `continue` where nothing is written."""

    decisions: Mapping[int, Decision | Callable[[int, int], LookResult]] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)

    def look(
        self, release_id: str, plan: ReleasePlan, started_ms: int, at_ms: int, until_ms: int
    ) -> LookResult:
        look, off_grid = divmod(at_ms - started_ms, plan.look_every_ms)
        assert not off_grid and at_ms <= until_ms
        self.taken.append(look)
        decision = self.decisions.get(look, "continue")
        if callable(decision):
            return decision(look, at_ms)
        return look_result(look, at_ms, decision)

    def known(self) -> tuple[int, int]:
        return 0, 0

    def forget(self) -> None:
        pass


@dataclass
class Audience:
    """Looks at simulated viewers through the real kernel: `rates` is the watch-through of (main, canary)."""

    rates: tuple[float, float] = (0.2, 0.2)
    requests: int = 400  # matured from look to look
    viewers: int = 2_000
    seed: int = 1
    share: Callable[[], tuple[int, float]] = lambda: (1, 0.1)
    _states: dict[str, State] = field(default_factory=dict)

    def look(
        self, release_id: str, plan: ReleasePlan, started_ms: int, at_ms: int, until_ms: int
    ) -> LookResult:
        random = np.random.default_rng((self.seed, at_ms))
        stage, share = self.share()
        viewer = random.integers(0, self.viewers, self.requests)
        canary = np.random.default_rng(self.seed).random(self.viewers)[viewer] < share
        success = random.random(self.requests) < np.where(canary, self.rates[1], self.rates[0])
        ones = np.ones(self.requests, np.int64)
        stages = np.full(self.requests, stage)
        slow = random.random(self.requests) < 0.05
        look = Look(
            at_ms,
            Matured(viewer, stages, canary, ones, success.astype(np.int64)),
            Served(viewer, stages, canary, ones, {"error": ones * 0, "p95": slow.astype(np.int64)}),
        )
        state = self._states.get(release_id) or State.begin(plan, started_ms)
        self._states[release_id], result = step(plan, state, look)
        return result

    def known(self) -> tuple[int, int]:
        return 0, 0

    def forget(self) -> None:
        pass


@dataclass
class Stage:
    """A manager with everything around it, in a folder of its own."""

    platform: PlatformSettings
    database: Database
    clock: ManualClock
    runtime: FakeRuntime
    script: Looking
    manager: ReleaseManager

    def publish(self, *versions: str) -> None:
        for version in versions:
            publish_bundle(self.platform.bundles, version)

    def pass_looks(self, number: int = 1) -> None:
        """Let the clock reach the next looks, with a tick at each."""
        for _ in range(number):
            self.clock.move(LOOK_MS)
            self.manager.tick()


def no_objection(candidate: Manifest, main: Manifest) -> Sequence[str]:
    return ()


def make_stage(
    home: Path,
    *,
    script: Looking | None = None,
    runtime: FakeRuntime | None = None,
    gate: Gate = no_objection,
    unfit: Sequence[str] = (),
    complete: Callable[[int], bool] = lambda _: True,
    on_step: Callable[[str], None] | None = None,
    clock: ManualClock | None = None,
    tables: bool = True,
    database_url: str = "",
) -> Stage:
    """Everything but the processes. `unfit` versions fail their smoke requests."""
    platform = PlatformSettings(home=home, database_url=SecretStr(database_url))
    if database_url:
        migrate(database_url)
    elif tables:
        make_tables(home / "understudy.db")
    parts = (open_database(platform.sql_url), clock or ManualClock(), runtime or FakeRuntime())
    script = script or Script()
    manager = make_manager(
        platform, *parts, script=script, gate=gate, unfit=unfit, complete=complete, on_step=on_step
    )
    return Stage(platform, *parts, script, manager)


@functools.cache
def _empty_database() -> bytes:
    """A database file with all tables: migrating once is enough for a test run."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(f"sqlite:///{folder}/empty.db")
        with sqlite3.connect(f"{folder}/empty.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return Path(folder, "empty.db").read_bytes()


def make_tables(path: Path) -> None:
    """An empty main store at this path."""
    path.write_bytes(_empty_database())


def make_manager(
    platform: PlatformSettings,
    database: Database,
    clock: ManualClock,
    runtime: Runtime,
    *,
    script: Looking,
    gate: Gate = no_objection,
    unfit: Sequence[str] = (),
    complete: Callable[[int], bool] = lambda _: True,
    on_step: Callable[[str], None] | None = None,
) -> ReleaseManager:
    def smoke(instance: Instance) -> int:
        if instance.version in unfit:
            raise SmokeError(f"{instance.version} answers nonsense")
        return 5

    return assemble(
        platform,
        DeploySettings(drain_s=2),
        clock,
        database,
        runtime,
        gate=gate,
        complete=complete,
        smoke=smoke,
        fallback=lambda bundle: (f"{bundle.name}-best",),
        evaluator=script,
        plan=PLAN,
        on_step=on_step,
    )
