"""Plays the audience against the load balancer over HTTP: look at a list, watch, post what happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.clock import Clock, format_ms
from core.errors import UnderstudyError
from core.ids import new_id
from understudy.client import Client
from understudy.demo.audience import Audience, Watched


@dataclass(frozen=True, slots=True)
class Tally:
    """What a stretch of play amounted to."""

    visits: int = 0
    watched: int = 0
    events: int = 0
    failures: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.visits + other.visits,
            self.watched + other.watched,
            self.events + other.events,
            self.failures + other.failures,
        )


def events_of(user_id: str, request_id: str, seen: Iterable[Watched], now_ms: int) -> list[dict[str, Any]]:
    """The events a viewer's application posts for what was watched of one list."""
    return [event for watched in seen for event in _events(user_id, request_id, watched, format_ms(now_ms))]


def _events(user_id: str, request_id: str, watched: Watched, timestamp: str) -> Iterator[dict[str, Any]]:
    common = {
        "user_id": user_id,
        "video_id": watched.video_id,
        "timestamp": timestamp,
        "request_id": request_id,
    }
    yield {"event_id": new_id(), "event_type": "view", "details": {"source": "recommendation"}, **common}
    kind = "complete" if watched.watch_percentage >= 100 else "progress"
    details = {"watch_percentage": watched.watch_percentage}
    yield {"event_id": new_id(), "event_type": kind, "details": details, **common}


@dataclass(frozen=True, slots=True)
class Player:
    """Viewers in random order, round after round, each visit an independent draw of (seed, round, viewer)."""

    client: Client
    audience: Audience
    clock: Clock
    seed: int = 1
    count: int = 20
    threads: int = 4

    def play(
        self, stop: threading.Event, on_round: Callable[[int, Tally], None] = lambda r, t: None
    ) -> Tally:
        """Play rounds until `stop` is set; every viewer comes once a round."""
        total, number = Tally(), 0
        with ThreadPoolExecutor(self.threads, "viewer") as pool:
            while not stop.is_set():
                total += self._round(number, stop, pool)
                number += 1
                on_round(number, total)
        return total

    def _round(self, number: int, stop: threading.Event, pool: ThreadPoolExecutor) -> Tally:
        viewers = self.audience.viewers
        order = np.random.default_rng([self.seed, number]).permutation(len(viewers))
        tallies = pool.map(lambda index: self._visit(viewers[index], number, int(index), stop), order)
        return sum(tallies, Tally())

    def _visit(self, user_id: str, number: int, index: int, stop: threading.Event) -> Tally:
        if stop.is_set():
            return Tally()
        rng = np.random.default_rng([self.seed, number, index])
        try:
            answer = self.client.recommend(user_id, count=self.count)
            seen = self.audience.look(user_id, [item.video_id for item in answer.items], rng)
            events = events_of(user_id, answer.request_id, seen, self.clock.now_ms())
            if events:
                self.client.post_events(events)
        except UnderstudyError:
            # A viewer who meets an error comes back another time; the count is part of the story.
            return Tally(visits=1, failures=1)
        return Tally(visits=1, watched=len(seen), events=len(events))
