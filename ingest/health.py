"""Whether the reader is ready, and if not, why not."""

from __future__ import annotations

from core.clock import Clock, format_ms
from core.health import Readiness, readiness
from ingest.reader import ReaderState


def reader_readiness(state: ReaderState, clock: Clock, stuck_ms: int) -> Readiness:
    """Ready: it has joined, nothing is being repeated, and records that wait are being read."""

    def progress() -> str | None:
        waiting = state.lag.total if state.lag else 0
        if waiting == 0 or clock.now_ms() - state.progress_ms <= stuck_ms:
            return None
        return f"{waiting} records wait and none was committed since {format_ms(state.progress_ms)}"

    return readiness(
        {
            "started": lambda: None if state.started else "has not joined its consumer group yet",
            "dependencies": lambda: state.problem,
            "progress": progress,
        }
    )
