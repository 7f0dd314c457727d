"""Prometheus metrics: one registry a process, made by its wiring function and passed to who counts."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST


def new_registry(service: str, **labels: str) -> CollectorRegistry:
    """A registry with process figures and `understudy_process_info{service=...}` in it."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    Info("understudy_process", "What this process is", registry=registry).info({"service": service, **labels})
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """The text that `GET /metrics` answers."""
    return generate_latest(registry)
