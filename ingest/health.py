"""Whether the reader lives and is ready, and if not, why not."""

from __future__ import annotations

from core.clock import Clock, format_ms
from core.health import Readiness, readiness
from ingest.reader import ReaderState


def reader_liveness(state: ReaderState, clock: Clock, stuck_ms: int) -> str | None:
    """Why the process should be restarted; None while its loop comes round, be it only to try again."""
    if clock.now_ms() - state.turn_ms <= stuck_ms:
        return None
    return f"the loop has hung in one step since {format_ms(state.turn_ms)}"


def reader_readiness(state: ReaderState, clock: Clock, stuck_ms: int) -> Readiness:
    """Ready: it has joined, comes round, repeats nothing, and records that wait are being read."""

    def progress() -> str | None:
        waiting = state.lag.total if state.lag else 0
        if waiting == 0 or clock.now_ms() - state.progress_ms <= stuck_ms:
            return None
        return f"{waiting} records wait and none was committed since {format_ms(state.progress_ms)}"

    return readiness(
        {
            "started": lambda: None if state.started else "has not joined its consumer group yet",
            "dependencies": lambda: state.problem,
            "loop": lambda: reader_liveness(state, clock, stuck_ms),
            "progress": progress,
        }
    )
