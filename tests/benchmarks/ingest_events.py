"""Traffic to measure the reader with: all event types in believable shares, ids as our own senders make them."""

from __future__ import annotations

import random
from typing import Any, Final

from core.events import WITHOUT_VIDEO, Interaction, encode_event
from storage.event_log import Message

VIEWERS, VIDEOS = 5_000, 2_000
SHARES: Final[dict[str, tuple[float, dict[str, Any]]]] = {
    "view": (40, {"source": "recommendation"}),
    "progress": (25, {"watch_percentage": 62.5, "duration_watched": 1830}),
    "complete": (10, {"watch_percentage": 100, "total_duration": 5400}),
    "like": (8, {"like_type": 1}),
    "search": (5, {"query": "space opera"}),
    "rating": (5, {"rating": 4.5}),
    "comment": (3, {"comment_id": "c12", "parent_id": None}),
    "share": (2, {"platform": "link"}),
    "subscribe": (2, {"publisher_id": "p7"}),
}


def events(count: int, now_ms: int, seed: int = 1) -> list[Message]:
    """`count` events of the last hour, each with an event id of its own."""
    draw = random.Random(seed)
    types = draw.choices(list(SHARES), [share for share, _ in SHARES.values()], k=count)
    return [_message(draw, event_type, now_ms) for event_type in types]


def _message(draw: random.Random, event_type: str, now_ms: int) -> Message:
    made = Interaction(
        event_id=f"{draw.getrandbits(128):032x}",
        user_id=f"u{draw.randrange(VIEWERS)}",
        video_id=None if event_type in WITHOUT_VIDEO else f"v{int(VIDEOS * draw.random() ** 3)}",
        event_type=event_type,
        details=SHARES[event_type][1],
        occurred_ms=now_ms - draw.randrange(3_600_000),
        received_ms=now_ms,
    )
    return Message(made.user_id, encode_event(made))
