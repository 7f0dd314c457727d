"""Runs the load balancer under gunicorn."""

from __future__ import annotations

from math import ceil

from core.descriptors import allow_descriptors
from core.http_server import Drain, serve
from core.logging import set_up_logging
from core.settings import PlatformSettings
from load_balancer.application import Balancer
from load_balancer.settings import BalancerSettings
from load_balancer.wiring import build_balancer
from load_balancer.worker import Worker

# Beside the connections: SQL, the event log, the metrics' pages, logs.
OWN_DESCRIPTORS = 100


def run(settings: BalancerSettings, platform: PlatformSettings) -> None:
    """Serve until SIGTERM; requests in flight finish, exposures are flushed. Exits the process.

    Raises:
        InvalidSettingError: this machine does not allow as many open connections as the settings ask for.
    """
    set_up_logging(platform.log_level)
    allow_descriptors(settings.connections + 2 * settings.arm_requests + OWN_DESCRIPTORS)
    drain = Drain(settings.drain_ms / 1000)
    serve(
        lambda: build_balancer(settings, platform, drain.problem),
        drain,
        bind=f"{settings.host}:{settings.port}",
        proc_name="understudy-balancer",
        worker_class=Worker,
        worker_connections=settings.connections,
        # One event loop keeps one core busy, at some 5,000 requests a second. More cores: more load balancers,
        # on ports of their own; they share nothing but the plan.
        workers=1,
        asgi_loop="uvloop",
        # Without our start-up nothing works: a failure there ends the process instead of half serving.
        asgi_lifespan="on",
        # SIGINT skips the end of the lifespan, not this.
        worker_exit=_stop,
        keepalive=settings.keepalive_s,
        # After SIGTERM: the slowest request, then the idle connections, then the last flush (6 s at most).
        graceful_timeout=ceil(settings.request_ms / 1000) + settings.keepalive_s + 6,
        # A worker whose loop stands still this long is killed and replaced.
        timeout=30,
        # Connections waiting to be accepted while the loop is busy: some 0.2 s of full load.
        backlog=1024,
    )


def _stop(_: object, worker: object) -> None:
    """Write what waits. gunicorn calls this in the worker, and once more in its parent, which has no application."""
    application: Balancer | None = getattr(worker, "asgi", None)
    if application is not None:
        application.stop()
