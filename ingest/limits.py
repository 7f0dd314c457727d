"""The dead-letter limit: too many refused records are a fault of the sender or of ours, and nobody's traffic."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from core.errors import RefusedError
from storage.dead_letters import DeadLetter


class DeadLetterLimitError(RefusedError):
    """The reader stands still on purpose: the batch was neither stored nor committed, nothing is lost."""


class DeadLetterLimit:
    """Looks back over a window of records, batch by batch."""

    def __init__(self, most: int, window: int) -> None:
        self._most = most
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()

    def admit(self, records: int, letters: Sequence[DeadLetter]) -> None:
        """Count one batch before it is stored.

        Raises:
            DeadLetterLimitError: with it the window would hold more dead letters than the limit.
        """
        self._batches.append((records, len(letters)))
        while sum(count for count, _ in self._batches) - self._batches[0][0] >= self._window:
            self._batches.popleft()
        dead = sum(count for _, count in self._batches)
        if letters and dead > self._most:
            raise DeadLetterLimitError(self._message(dead, letters))

    def _message(self, dead: int, letters: Sequence[DeadLetter]) -> str:
        seen = sum(count for count, _ in self._batches)
        reasons = Counter(letter.reason for letter in letters).most_common(3)
        named = ", ".join(f"{reason} {count}" for reason, count in reasons)
        first = letters[0]
        return (
            f"{dead} of the last {seen} records are dead letters, more than the limit of {self._most} ({named};"
            f" first {first.topic}:{first.partition}:{first.offset}: {first.message[:200]}). Nothing of this batch"
            " was stored or committed: repair the sender, or raise UNDERSTUDY_INGEST_DEAD_LETTER_LIMIT"
        )
