"""Runs the load balancer under gunicorn."""

from __future__ import annotations

from math import ceil

from core.http_server import serve
from core.logging import set_up_logging
from core.settings import PlatformSettings
from load_balancer.application import Balancer
from load_balancer.settings import BalancerSettings
from load_balancer.wiring import build_balancer


def run(settings: BalancerSettings, platform: PlatformSettings) -> None:
    """Serve until SIGTERM; requests in flight finish, exposures are flushed. Exits the process."""
    set_up_logging(platform.log_level)
    serve(
        lambda: build_balancer(settings, platform),
        bind=f"{settings.host}:{settings.port}",
        proc_name="understudy-balancer",
        worker_class="asgi",
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
