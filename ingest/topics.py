"""How the records of a topic are parsed: its kind."""

from __future__ import annotations

from typing import Final

from core.events import DETAILS

EVENTS: Final = "events"
LOG_LINES: Final = "log_lines"
EXPOSURES: Final = "exposures"
# A topic whose kind is an event type holds only events of that type.
KINDS: Final = (EVENTS, LOG_LINES, EXPOSURES, *DETAILS)
