"""Builds the load balancer of one worker process: read it from top to bottom."""

from __future__ import annotations

import random
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from a2wsgi import WSGIMiddleware

from core.clock import SystemClock
from core.events import TOPIC_INTERACTIONS
from core.health import Check
from core.metrics import new_registry
from core.settings import PlatformSettings
from core.traffic import TrafficPlan
from load_balancer import openapi
from load_balancer.application import Balancer
from load_balancer.arms import Arms
from load_balancer.exposures import ExposureWriter
from load_balancer.group_commit import GroupCommit
from load_balancer.hot import Events, Recommend
from load_balancer.http import Application
from load_balancer.lookups import Lookups
from load_balancer.metrics import BalancerMetrics
from load_balancer.overload import Shedder
from load_balancer.pages import PageParts, create_pages
from load_balancer.plans import PlanPoller
from load_balancer.probes import Probes
from load_balancer.proxy import Deadlines, Proxy
from load_balancer.settings import BalancerSettings
from load_balancer.shadow import ShadowPlayer
from storage.connect import open_event_log, open_main_store
from storage.releases import current_plan

# Threads for health, metrics and version: a scrape never waits behind a slow readiness check.
PAGE_THREADS = 4
# How long the first request may have to wait for SQL; after it, we serve 503 and say on /readyz why.
FIRST_PLAN_S = 5.0


def build_balancer(settings: BalancerSettings, platform: PlatformSettings, stopping: Check) -> Balancer:
    """Called in the worker, after the fork. Nothing runs before `Balancer.start`."""
    clock = SystemClock()
    package = _package_version()
    metrics = BalancerMetrics(new_registry("load_balancer", version=package))
    store = open_main_store(platform)
    log = open_event_log(platform, clock)

    def read_plan() -> TrafficPlan | None:
        with store.read() as connection:
            return current_plan(connection)

    plans = PlanPoller(read_plan, settings.plan_poll_ms / 1000)
    arms = Arms(settings.arm_requests)
    deadlines = Deadlines(settings.attempt_ms / 1000, settings.request_ms / 1000)
    exposures = ExposureWriter(log, metrics, settings.exposure_buffer)
    commits = GroupCommit(log, TOPIC_INTERACTIONS)
    shadow = ShadowPlayer(metrics.shadow, settings.attempt_ms / 1000, random.Random())
    probes = Probes(plans, arms, settings.probe_ms / 1000)
    shedder = Shedder(settings.late_ms / 1000, random.Random(), metrics.shed.inc)
    metrics.plan.watch(lambda: plans.current, lambda: plans.age_s, arms.ejected)

    def describe() -> dict[str, object]:
        plan = plans.current
        return {"service": "load_balancer", "version": package, "epoch": plan.epoch if plan else None}

    def start() -> None:
        plans.start(FIRST_PLAN_S)
        exposures.start()
        commits.start()
        probes.start()
        shedder.start()

    ending = ExitStack()  # from the last to the first, and each only once, however often it is closed
    for end in (
        store.close,
        log.close,
        plans.stop,
        exposures.stop,
        commits.stop,
        arms.close,
        shadow.close,
        probes.stop,
        shedder.stop,
    ):
        ending.callback(end)

    checks = {"traffic_plan": plans.problem, "process": stopping}
    pages = create_pages(PageParts(metrics.registry, checks, describe, openapi.document(package)))
    proxy = Proxy(arms, deadlines, random.Random())
    return Balancer(
        recommend=Recommend(plans, arms, proxy, exposures, shadow, metrics, clock),
        events=Events(commits, metrics, clock, settings.events_ms / 1000, settings.body_ms / 1000),
        lookups=Lookups(plans, arms, deadlines, metrics),
        # Both sides describe the same two protocols in types that do not know each other.
        pages=cast(Application, WSGIMiddleware(cast(Any, pages), workers=PAGE_THREADS)),
        start=start,
        stop=ending.close,
        sheds=shedder.sheds,
    )


def _package_version() -> str:
    try:
        return version("understudy")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
