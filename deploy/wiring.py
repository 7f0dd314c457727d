"""Makes a release manager from settings: the one place that knows all parts of `deploy`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial

from core.clock import Clock
from core.errors import InvalidSettingError
from core.settings import PlatformSettings
from deploy.container_options import container_options
from deploy.evaluation import ReleasePlan
from deploy.evaluator import Evaluator
from deploy.fallback import trending_of
from deploy.gate import offline_gate
from deploy.ledger import Ledger
from deploy.releases import Gate, ReleaseManager
from deploy.rows import DatabaseRows
from deploy.runtime import Runtime
from deploy.runtime_process import Command, ProcessRuntime, serve_command
from deploy.settings import DeploySettings
from deploy.shadow import ShadowSwitch
from deploy.smoke import smoke
from deploy.supervisor import Supervisor
from deploy.views import ReleaseViews
from deploy.watermark import Watermark
from deploy.worker import Complete, Fallback, Looking, Smoke, Worker
from storage.connect import open_event_log, open_main_store
from storage.database import Database

logger = logging.getLogger(__name__)


def build_manager(
    platform: PlatformSettings,
    settings: DeploySettings,
    clock: Clock,
    database: Database | None = None,
    *,
    command: Command = serve_command,
) -> ReleaseManager:
    """The manager of this machine's releases: its processes or containers, the platform's stores.

    Raises:
        InvalidSettingError: the plan file is missing or says something impossible, or containers are asked for
            without their client.
    """
    database = database or open_main_store(platform)
    runtime = build_runtime(platform, settings, command)
    log = open_event_log(platform, clock)
    return assemble(
        platform,
        settings,
        clock,
        database,
        runtime,
        gate=offline_gate(platform.bundles),
        complete=Watermark(database, log, clock).reached,
    )


def build_shadow(platform: PlatformSettings, settings: DeploySettings, clock: Clock) -> ShadowSwitch:
    """The switch of shadow mode, on the same instances and tables.

    Raises:
        InvalidSettingError: containers are asked for without their client.
    """
    runtime = build_runtime(platform, settings)
    return ShadowSwitch(open_main_store(platform), runtime, clock, platform.bundles, smoke, settings.drain_s)


def build_runtime(
    platform: PlatformSettings, settings: DeploySettings, command: Command = serve_command
) -> Runtime:
    """Where versions run: processes of this machine, or containers of its engine.

    Raises:
        InvalidSettingError: containers are asked for, and their client is not installed.
    """
    times = {"ready_s": settings.ready_s, "stop_s": settings.stop_s}
    if settings.runtime == "process":
        return ProcessRuntime(platform.home, command, **times)
    try:
        # Imported where it is used: the client is an extra that processes alone do not need.
        from deploy.runtime_container import ContainerRuntime  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InvalidSettingError(
            f"UNDERSTUDY_DEPLOY_RUNTIME: container needs {error.name}: pip install 'understudy[containers]'"
        ) from None
    return ContainerRuntime(
        platform.home, settings.docker_url, container_options(platform, settings), **times
    )


def assemble(
    platform: PlatformSettings,
    settings: DeploySettings,
    clock: Clock,
    database: Database,
    runtime: Runtime,
    *,
    gate: Gate,
    complete: Complete,
    smoke: Smoke = smoke,
    fallback: Fallback | None = None,
    evaluator: Looking | None = None,
    plan: ReleasePlan | None = None,
    on_step: Callable[[str], None] | None = None,
) -> ReleaseManager:
    """The same from parts, for tests and for other runtimes."""
    ledger = Ledger(database, clock, drain_ms=round(settings.drain_s * 1000), on_step=on_step or _log_step)
    supervisor = Supervisor(runtime, ledger)
    worker = Worker(
        database=database,
        runtime=runtime,
        clock=clock,
        ledger=ledger,
        supervisor=supervisor,
        evaluator=evaluator or Evaluator(DatabaseRows(database)),
        bundles=platform.bundles,
        smoke=smoke,
        fallback=fallback or partial(trending_of, count=settings.fallback_count),
        complete=complete,
    )
    return ReleaseManager(
        database=database,
        runtime=runtime,
        clock=clock,
        bundles=platform.bundles,
        gate=gate,
        plan=plan or default_plan(settings),
        ledger=ledger,
        worker=worker,
        supervisor=supervisor,
        views=ReleaseViews(database, runtime, clock),
    )


def default_plan(settings: DeploySettings) -> ReleasePlan:
    """The plan that `release start` uses unless it is given one."""
    if settings.plan_file is None:
        return ReleasePlan()
    try:
        value = json.loads(settings.plan_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSettingError(f"UNDERSTUDY_DEPLOY_PLAN_FILE: {settings.plan_file}: {error}") from None
    return ReleasePlan.from_json(value)


def _log_step(state: str) -> None:
    logger.info("release is %s", state)
