"""Runs the inference service of one version under gunicorn."""

from __future__ import annotations

from core.http_server import serve
from core.logging import set_up_logging
from core.settings import PlatformSettings
from inference.settings import InferenceSettings
from inference.wiring import build_inference
from inference.worker import Worker
from storage import bundles


def run(settings: InferenceSettings, platform: PlatformSettings, version: str) -> None:
    """Serve `version` until SIGTERM; requests in flight finish. Exits the process.

    Raises:
        NotFoundError: there is no such version.
        InvalidBundleError: a file of the bundle is not what its manifest says: said here, before a worker is
            forked, so that the caller can tell the operator and choose the exit code.
    """
    set_up_logging(platform.log_level)
    found = bundles.find(platform.bundles, version)
    bundles.open_bundle(found.path, found.digest)
    serve(
        lambda: build_inference(settings, platform, version),
        bind=f"{settings.host}:{settings.port}",
        proc_name=f"understudy-inference {version}",
        worker_class=Worker,
        # One process maps the factors once; another worker is another instance, started by the Runtime.
        workers=1,
        threads=settings.threads,
        # Connections held at once: the pools (128 each) of several load balancers.
        worker_connections=1000,
        # Longer than the load balancer keeps an idle connection (30 s), so that it is always the one that
        # closes and never sends a request into a connection we are closing.
        keepalive=75,
        # A list takes milliseconds: whoever is not done after 5 s is stuck.
        graceful_timeout=5,
        # A worker whose main loop stands still this long is killed and replaced (gthread does not time
        # requests; the load balancer does).
        timeout=30,
        # As many as the load balancer sends at once.
        backlog=256,
    )
