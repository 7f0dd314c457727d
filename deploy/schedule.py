"""The built-in scheduler: ticks when something may be due. Cron or a timer that calls `tick` does as well."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from core.errors import UnderstudyError
from deploy.releases import ReleaseManager

logger = logging.getLogger(__name__)

# An abort asked for on the page reaches traffic within a second: this, and the balancers' poll interval.
ASKS_EVERY_S = 0.25


def run_schedule(manager: ReleaseManager, every_s: float, stop: threading.Event) -> None:
    """Tick every `every_s` seconds until `stop` is set; a tick that fails is logged and tried again.

    What operators ask for is obeyed beside it, so that an abort never waits for an instance to start.
    """
    asks = threading.Thread(
        target=_repeat, args=(manager.obey_asks, ASKS_EVERY_S, stop), name="asks", daemon=True
    )
    asks.start()
    _repeat(manager.tick, every_s, stop)
    asks.join(timeout=5)


def run_until_terminated(manager: ReleaseManager, every_s: float) -> None:
    """`run_schedule` until SIGTERM or Ctrl-C; a tick under way is finished."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_schedule(manager, every_s, stop)


def _repeat(work: Callable[[], object], every_s: float, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            work()
        except UnderstudyError as error:
            logger.warning("%s: %s", type(error).__name__, error)
        except Exception:
            # A scheduler that dies of one bad look would leave the canary before viewers for ever.
            logger.exception("this tick failed; the next one tries again")
        stop.wait(every_s)
