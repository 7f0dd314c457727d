"""An event log in memory, to see what is appended and to refuse on demand."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from core.errors import DependencyError
from storage.event_log import Consumer, Message, TopicPartition


class MemoryLog:
    """`away` makes appends fail; `gate`, while cleared, makes them wait."""

    def __init__(self) -> None:
        self.appends: list[tuple[str, list[Message]]] = []
        self.away = False
        self.gate = threading.Event()
        self.gate.set()

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        assert self.gate.wait(10)
        if self.away:
            raise DependencyError("the log is away")
        self.appends.append((topic, list(messages)))

    @property
    def messages(self) -> list[Message]:
        return [message for _, batch in self.appends for message in batch]

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        raise NotImplementedError

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        raise NotImplementedError

    def close(self) -> None: ...
