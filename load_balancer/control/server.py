"""Runs the control plane under gunicorn, in a process and on a port of its own."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from flask import Flask

from core.clock import SystemClock
from core.gthread_worker import BoundedWorker
from core.http_server import serve
from core.metrics import new_registry
from core.settings import PlatformSettings
from load_balancer.control.app import create_control
from load_balancer.control.metrics import ReleaseCollector
from load_balancer.control.reading import Reader
from load_balancer.control.settings import ControlSettings
from storage.connect import open_main_store


def build_control(settings: ControlSettings, platform: PlatformSettings) -> Flask:
    """The application with the platform's main store; call it after the fork."""
    database = open_main_store(platform)
    registry = new_registry("control")
    registry.register(ReleaseCollector(Reader(database)))
    return create_control(
        database,
        SystemClock(),
        registry,
        token=settings.secret(),
        loopback=settings.is_loopback,
        version=_version(),
    )


def run(settings: ControlSettings, platform: PlatformSettings) -> None:
    """Serve until SIGTERM. Exits the process.

    Raises:
        InvalidSettingError: it would listen beyond loopback without a token.
    """
    settings.secret()  # refuse before anything listens
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    serve(
        lambda: build_control(settings, platform),
        bind=f"{host}:{settings.port}",
        proc_name="understudy-control",
        worker_class=BoundedWorker,
        workers=1,
        threads=settings.threads,
        # A page that refreshes every few seconds keeps its connection.
        keepalive=15,
        graceful_timeout=5,
    )


def _version() -> str:
    try:
        return version("understudy")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
