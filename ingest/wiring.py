"""Builds the reader's process: read it from top to bottom."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from core.clock import SystemClock
from core.metrics import exposition, new_registry
from core.settings import PlatformSettings
from ingest.health import reader_liveness, reader_readiness
from ingest.metrics import ReaderMetrics
from ingest.pages import Page, reader_pages
from ingest.reader import Reader
from ingest.settings import IngestSettings
from ingest.shelf import LiveShelf
from storage.connect import open_event_log, open_main_store, open_serving_store
from storage.database import Database
from storage.event_log import EventLog
from storage.serving_store import ServingStore


@dataclass(frozen=True, slots=True)
class ReaderProcess:
    """The parts of one reader process, and what they stand on."""

    reader: Reader
    pages: Mapping[str, Page]
    stores: tuple[Database, EventLog, ServingStore]

    def close(self) -> None:
        for store in self.stores:
            store.close()


def build_reader(
    settings: IngestSettings, platform: PlatformSettings, stop: threading.Event
) -> ReaderProcess:
    """Wire a reader that ends once `stop` is set. Nothing runs yet."""
    clock = SystemClock()
    package = _package_version()
    registry = new_registry("reader", version=package)
    stores = (
        open_main_store(platform),
        open_event_log(platform, clock),
        open_serving_store(platform, clock),
    )
    database, log, serving_store = stores
    shelf = LiveShelf(database, serving_store, platform.bundles, clock).shelf()
    reader = Reader(log, database, serving_store, clock, settings, ReaderMetrics(registry), stop, shelf)
    pages = reader_pages(
        package,
        ready=lambda: reader_readiness(reader.state, clock, settings.stuck_ms),
        hangs=lambda: reader_liveness(reader.state, clock, settings.stuck_ms),
        exposition=lambda: exposition(registry),
    )
    return ReaderProcess(reader, pages, stores)


def _package_version() -> str:
    try:
        return version("understudy")
    except PackageNotFoundError:
        return "unknown"
