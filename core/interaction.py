"""What an event becomes once it is known to be valid."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from core.clock import DAY

# How far a viewer's clock may be ahead of ours.
FUTURE_TOLERANCE_MS: Final = DAY

Details = dict[str, Any]


class Interaction(msgspec.Struct, frozen=True, gc=False):
    """One event of one viewer, valid by construction (made by `parse_event`).

    `occurred_ms` is the viewer's clock and is used for training; `received_ms` is the server's and is the
    only one that decides an online evaluation. `event_id` is None where the sender gave none.
    Without `gc`, for what JSON says has no cycles.
    """

    event_id: str | None
    user_id: str
    video_id: str | None
    event_type: str
    details: Details
    occurred_ms: int
    received_ms: int
    request_id: str | None = None
