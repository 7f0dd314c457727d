"""Runs the reader as a process: health and metrics beside the loop, and a clean end on a signal."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from core.settings import PlatformSettings
from ingest.pages import served
from ingest.settings import IngestSettings
from ingest.wiring import build_reader

_log = logging.getLogger(__name__)


def run(settings: IngestSettings, platform: PlatformSettings) -> None:
    """Read until SIGTERM or SIGINT, then finish the batch in hand and return. Called in the main thread.

    Raises:
        DeadLetterLimitError: too many dead letters; the process should end with its exit code.
        UnderstudyError: an error that a repetition cannot mend.
    """
    stop = threading.Event()
    with (
        _signals(stop),
        closing(build_reader(settings, platform, stop)) as process,
        served(settings.host, settings.port, process.pages) as port,
    ):
        calm_garbage_collection()
        _log.info("reading %s; health on http://%s:%d", ", ".join(settings.kinds), settings.host, port)
        process.reader.run()
    _log.info("reader stopped")


def calm_garbage_collection() -> None:
    """Look for cycles rarely, and never among what exists already.

    A batch makes some 100,000 objects without one cycle; the default thresholds walk through all of them again
    and again and take a third of the reader's CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; what was there before is there afterwards."""
    names = (signal.SIGTERM, signal.SIGINT)
    before = {name: signal.signal(name, lambda _number, _frame: stop.set()) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
