"""What the reader's tests share: events, exposures, and a serving store in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.events import TOPIC_INTERACTIONS, Interaction, encode_event
from core.exposures import Exposure
from storage.event_log import Message
from storage.interactions import LoggedInteraction
from storage.serving_store import LAST, Document, Versions

NOW = 1_800_000_000_000


def event(number: int, at_ms: int = NOW, **changes: Any) -> Interaction:
    """A valid event; `number` decides viewer, video and event id."""
    fields: dict[str, Any] = {
        "event_id": f"e{number}",
        "user_id": f"u{number % 17}",
        "video_id": f"v{number % 23}",
        "event_type": "rating",
        "details": {"rating": number % 5 + 1},
        "occurred_ms": at_ms + number,
        "received_ms": at_ms,
    }
    return Interaction(**{**fields, **changes})


def message(sent: Interaction) -> Message:
    return Message(sent.user_id, encode_event(sent))


def messages(numbers: Iterable[int], at_ms: int = NOW) -> list[Message]:
    return [message(event(number, at_ms)) for number in numbers]


def exposure(request_id: str, **changes: Any) -> Exposure:
    fields: dict[str, Any] = {
        "request_id": request_id,
        "user_id": "u1",
        "served_ms": NOW,
        "arm_assigned": "main",
        "arm_served": "main",
        "version": "v1",
        "bundle_digest": "sha256:0",
        "release_id": None,
        "stage": 0,
        "epoch": 1,
        "items": ("v1", "v2"),
        "latency_ms": 3.5,
    }
    return Exposure(**{**fields, **changes})


def logged(
    offset: int, sent: Interaction, topic: str = TOPIC_INTERACTIONS, partition: int = 0
) -> LoggedInteraction:
    return LoggedInteraction(topic, partition, offset, sent)


class MemoryServingStore:
    """A serving store in a dictionary; nothing expires."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Document] = {}
        self.writes = 0

    def get(self, collection: str, key: str) -> Document | None:
        return self.documents.get((collection, key))

    def get_many(self, collection: str, keys: Iterable[str]) -> dict[str, Document]:
        return {key: found for key in keys if (found := self.get(collection, key)) is not None}

    def put_many(
        self, collection: str, documents: Mapping[str, Document], expires_ms: int | None = None
    ) -> None:
        self.writes += len(documents)
        self.documents.update({(collection, key): document for key, document in documents.items()})

    def get_versions(self, collection: str, keys: Iterable[str]) -> tuple[dict[str, Document], Versions]:
        return self.get_many(collection, keys), {}

    def replace_many(
        self,
        collection: str,
        documents: Mapping[str, Document],
        versions: Versions,
        expires_ms: int | None = None,
    ) -> None:
        """Nobody else writes here."""
        self.put_many(collection, documents, expires_ms)

    def scan(
        self, collection: str, first_key: str = "", limit: int = 1_000, before: str = LAST
    ) -> list[tuple[str, Document]]:
        keys = sorted(
            key for where, key in self.documents if where == collection and first_key <= key < before
        )
        return [(key, self.documents[collection, key]) for key in keys[:limit]]

    def delete_many(self, collection: str, keys: Iterable[str]) -> None:
        for key in keys:
            self.documents.pop((collection, key), None)

    def close(self) -> None:
        """Nothing is open."""
