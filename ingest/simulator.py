"""`understudy simulate`: seeded traffic at a chosen rate, over HTTP or straight into the event log."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import urllib3

from core.clock import Clock
from core.errors import DependencyError, UnderstudyError
from core.events import TOPIC_INTERACTIONS
from ingest.sessions import Viewers, day_and_night, encode, skewed, spoil, visit
from storage.event_log import EventLog, Message

_NAP_S = 0.1


class Stage(Protocol):
    """Before whom the viewers appear: the load balancer, or the event log alone."""

    def recommend(self, user_id: str) -> tuple[str | None, Sequence[str]]:
        """The request id, if there is one, and the list shown. Raises DependencyError."""
        ...

    def post(self, user_id: str, events: Sequence[bytes]) -> None:
        """Raises DependencyError."""
        ...


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What is played; the same plan plays the same visits."""

    seed: int = 1
    viewers: int = 1_000
    visits_per_second: float = 5.0
    bad_share: float = 0.0  # of the events
    swing: float = 0.4  # day and night around the mean rate
    visits: int | None = None  # None: until stopped


@dataclass(slots=True)
class SimulationTally:
    """What was played so far."""

    visits: int = 0
    events: int = 0
    bad: int = 0
    failures: int = 0


class LogStage:
    """No servers needed: lists by popularity alone, events straight into the log."""

    def __init__(self, log: EventLog, videos: Sequence[str], seed: int = 1) -> None:
        self._log = log
        self._videos = list(videos)
        self._rng = random.Random(seed)

    def recommend(self, user_id: str) -> tuple[str | None, Sequence[str]]:
        return None, [self._videos[skewed(self._rng, len(self._videos))] for _ in range(20)]

    def post(self, user_id: str, events: Sequence[bytes]) -> None:
        self._log.append(TOPIC_INTERACTIONS, [Message(user_id, event) for event in events])


class HttpStage:
    """The load balancer at `url`, as a viewer's application sees it."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._http = urllib3.PoolManager(timeout=timeout_s, retries=False)

    def recommend(self, user_id: str) -> tuple[str | None, Sequence[str]]:
        answer = msgspec.json.decode(self._call("GET", f"/recommend/{user_id}?count=20"))
        return answer["request_id"], [item["video_id"] for item in answer["items"]]

    def post(self, user_id: str, events: Sequence[bytes]) -> None:
        """Each on its own: a body that does not parse must not take the good ones with it."""
        for event in events:
            self._call("POST", "/events", event)

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            answer = self._http.request(
                method, self._url + path, body=body, headers={"Content-Type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            raise DependencyError(f"{self._url} does not answer: {error}") from error
        if answer.status >= 500 or (method == "GET" and answer.status != 200):
            raise DependencyError(f"{method} {self._url}{path} answered {answer.status}")
        return answer.data


def simulate(
    stage: Stage,
    plan: SimulationPlan,
    clock: Clock,
    stop: threading.Event,
    on_visit: Callable[[SimulationTally], None] = lambda tally: None,
) -> SimulationTally:
    """Play visits at the plan's rate until `stop` is set or the plan's visits are over.

    A visit that meets an error is counted and left; the viewer comes back another time.
    """
    rng = random.Random(plan.seed)
    viewers = Viewers(plan.viewers)
    tally = SimulationTally()
    while not stop.is_set() and tally.visits != plan.visits:
        rate = plan.visits_per_second * day_and_night(clock.now_ms(), plan.swing)
        _wait(rng.expovariate(rate), clock, stop)
        _visit(stage, plan, clock, random.Random(rng.getrandbits(64)), viewers.draw(rng), tally)
        on_visit(tally)
    return tally


def _visit(
    stage: Stage, plan: SimulationPlan, clock: Clock, rng: random.Random, user_id: str, tally: SimulationTally
) -> None:
    tally.visits += 1
    try:
        request_id, shown = stage.recommend(user_id)
        good = encode(visit(rng, user_id, shown, request_id, clock.now_ms()))
        events = [spoil(rng, event) if rng.random() < plan.bad_share else event for event in good]
        stage.post(user_id, events)
    except UnderstudyError:
        tally.failures += 1
        return
    tally.events += len(events)
    tally.bad += sum(sent is not meant for sent, meant in zip(events, good, strict=True))


def _wait(seconds: float, clock: Clock, stop: threading.Event) -> None:
    until_ms = clock.now_ms() + round(seconds * 1_000)
    while not stop.is_set() and (left_ms := until_ms - clock.now_ms()) > 0:
        clock.sleep(min(_NAP_S, left_ms / 1_000))
