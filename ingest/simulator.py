"""`understudy simulate`: seeded traffic at a chosen rate, over HTTP or straight into the event log."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import urllib3

from core.clock import HOUR, Clock
from core.errors import DependencyError, UnderstudyError
from core.events import TOPIC_INTERACTIONS
from ingest.sessions import SESSION_MS, Viewers, day_and_night, encode, new_video, skewed, spoil, visit
from storage.event_log import EventLog, Message
from storage.videos import Video

_NAP_S = 0.1
NEW_SHOWN = 10  # so many new videos the front page names


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
    new_videos_per_hour: float = 0.0


@dataclass(slots=True)
class SimulationTally:
    """What was played so far."""

    visits: int = 0
    events: int = 0
    bad: int = 0
    failures: int = 0
    new_videos: int = 0


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
    publish: Callable[[Video], None] = lambda video: None,
) -> SimulationTally:
    """Play visits at the plan's rate until `stop` is set or the plan's visits are over.

    A visit that meets an error is counted and left; the viewer comes back another time.

    Args:
        publish: puts a new video into the catalogue. Raises DependencyError: it is counted as a failure.
    """
    rng = random.Random(plan.seed)
    viewers, news = Viewers(plan.viewers), NewVideos(plan, clock.now_ms())
    tally = SimulationTally()
    while not stop.is_set() and tally.visits != plan.visits:
        rate = plan.visits_per_second * day_and_night(clock.now_ms(), plan.swing)
        _wait(rng.expovariate(rate), clock, stop)
        for video in news.until(clock.now_ms()):
            _publish(publish, video, tally)
        visiting = random.Random(rng.getrandbits(64))
        _visit(stage, plan, clock, visiting, viewers.draw(rng), news.shown(clock.now_ms()), tally)
        on_visit(tally)
    return tally


class NewVideos:
    """New videos that come at random instants, of a generator of their own: visits are the same without them."""

    def __init__(self, plan: SimulationPlan, now_ms: int) -> None:
        self._seed = plan.seed
        self._per_ms = plan.new_videos_per_hour / HOUR
        self._rng = random.Random(f"new videos {plan.seed}")
        self._number = 0
        self._due_ms = self._after(now_ms)
        self._come: list[Video] = []

    def until(self, now_ms: int) -> list[Video]:
        """Those that have come by now, since the last call."""
        found: list[Video] = []
        while self._due_ms <= now_ms:
            found.append(new_video(self._rng, f"sim-{self._seed}-new-{self._number}", round(self._due_ms)))
            self._number += 1
            self._due_ms = self._after(self._due_ms)
        self._come += found
        return found

    def shown(self, now_ms: int) -> list[str]:
        """What the front page named when a session began that ends now, the newest last."""
        return [video.video_id for video in self._come if video.added_ms <= now_ms - SESSION_MS][-NEW_SHOWN:]

    def _after(self, at_ms: float) -> float:
        return at_ms + self._rng.expovariate(self._per_ms) if self._per_ms else math.inf


def _publish(publish: Callable[[Video], None], video: Video, tally: SimulationTally) -> None:
    try:
        publish(video)
    except UnderstudyError:
        tally.failures += 1
        return
    tally.new_videos += 1


def _visit(
    stage: Stage,
    plan: SimulationPlan,
    clock: Clock,
    rng: random.Random,
    user_id: str,
    new: Sequence[str],
    tally: SimulationTally,
) -> None:
    tally.visits += 1
    try:
        request_id, shown = stage.recommend(user_id)
        good = encode(visit(rng, user_id, shown, request_id, clock.now_ms(), new))
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
