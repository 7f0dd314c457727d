"""One thing done again and again beside the requests, by a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from core.errors import DependencyError

logger = logging.getLogger(__name__)


class Repeated:
    """Calls `look` every `every_s` seconds until it is stopped, whatever `look` raises."""

    def __init__(self, name: str, look: Callable[[], None], every_s: float) -> None:
        self._name = name
        self._look = look
        self._every_s = every_s
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, wait_s: float = 0.0) -> None:
        """Begin; return after the first look, or `wait_s`."""
        self._thread.start()
        self._looked.wait(wait_s)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while True:
            try:
                self._look()
            except DependencyError as error:
                logger.warning("%s: not refreshed: %s", self._name, error)
            except Exception:  # the next look may do better; without this thread all stands still for ever
                logger.exception("%s: not refreshed", self._name)
            self._looked.set()
            if self._stopping.wait(self._every_s):
                return
