import threading
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from core.clock import HOUR, ManualClock
from core.errors import DependencyError, InvalidEventError
from core.events import DETAILS, WITHOUT_VIDEO, parse_event
from ingest.sessions import day_and_night, skewed, visit
from ingest.simulator import SimulationPlan, SimulationTally, simulate
from storage.videos import Video
from tests.ingest_support import NOW


class MemoryStage:
    def __init__(self, away_every: int = 0) -> None:
        self.posted: list[tuple[str, bytes]] = []
        self._asked = 0
        self._away_every = away_every

    def recommend(self, user_id: str) -> tuple[str | None, Sequence[str]]:
        self._asked += 1
        if self._away_every and self._asked % self._away_every == 0:
            raise DependencyError("away")
        return f"r{self._asked}", [f"v{n}" for n in range(20)]

    def post(self, user_id: str, events: Sequence[bytes]) -> None:
        self.posted += [(user_id, event) for event in events]


def play(
    stage: MemoryStage, plan: SimulationPlan, publish: Callable[[Video], None] = lambda _: None
) -> tuple[SimulationTally, ManualClock]:
    clock = ManualClock(NOW)
    return simulate(stage, plan, clock, threading.Event(), publish=publish), clock


def test_the_same_seed_plays_the_same_visits_and_another_seed_plays_others() -> None:
    first, again, other = MemoryStage(), MemoryStage(), MemoryStage()
    play(first, SimulationPlan(seed=3, visits=50))
    play(again, SimulationPlan(seed=3, visits=50))
    play(other, SimulationPlan(seed=4, visits=50))
    assert first.posted == again.posted != other.posted


def test_every_good_event_is_valid_and_carries_its_request() -> None:
    stage = MemoryStage()
    tally, clock = play(stage, SimulationPlan(visits=200))
    parsed = [parse_event(event, clock.now_ms()) for _, event in stage.posted]
    assert len(parsed) == tally.events > 100
    assert {bool(event.request_id) for event in parsed if event.event_type not in WITHOUT_VIDEO} == {True}


def test_in_time_every_type_of_event_comes() -> None:
    stage = MemoryStage()
    _, clock = play(stage, SimulationPlan(visits=5_000))
    assert {parse_event(event, clock.now_ms()).event_type for _, event in stage.posted} == DETAILS.keys()


def test_new_videos_come_at_their_rate_and_are_found_on_the_front_page() -> None:
    stage, published = MemoryStage(), list[Video]()
    plan = SimulationPlan(visits=2_000, visits_per_second=0.2, swing=0, new_videos_per_hour=60)
    tally, clock = play(stage, plan, published.append)
    hours = (clock.now_ms() - NOW) / HOUR
    assert 35 < len(published) / hours < 85
    assert tally.new_videos == len(published) == len({video.video_id for video in published})
    assert all(NOW < video.added_ms <= clock.now_ms() for video in published)
    events = [parse_event(event, clock.now_ms()) for _, event in stage.posted]
    views = Counter(event.video_id for event in events if event.event_type == "view")
    assert sum(views[video.video_id] > 0 for video in published) > len(published) / 2
    added_ms = {video.video_id: video.added_ms for video in published}
    assert all(event.occurred_ms > added_ms.get(str(event.video_id), 0) for event in events)
    assert {e.details["source"] for e in events if e.event_type == "view" and not e.request_id} == {"home"}


def test_a_catalogue_that_is_away_costs_the_video_and_not_the_play() -> None:
    def away(_: Video) -> None:
        raise DependencyError("away")

    tally, _ = play(MemoryStage(), SimulationPlan(visits=500, new_videos_per_hour=600), away)
    assert (tally.visits, tally.new_videos) == (500, 0)
    assert tally.failures > 0


def test_bad_events_come_at_their_rate_and_every_one_is_refused() -> None:
    stage = MemoryStage()
    tally, clock = play(stage, SimulationPlan(visits=500, bad_share=0.2))
    refused = 0
    for _, event in stage.posted:
        try:
            parse_event(event, clock.now_ms())
        except InvalidEventError:
            refused += 1
    assert refused == tally.bad
    assert 0.15 < tally.bad / tally.events < 0.25


def test_the_rate_is_kept() -> None:
    _, clock = play(MemoryStage(), SimulationPlan(visits=1_000, visits_per_second=20, swing=0))
    assert 45_000 < clock.now_ms() - NOW < 55_000


def test_a_visit_that_fails_is_counted_and_the_play_goes_on() -> None:
    tally, _ = play(MemoryStage(away_every=4), SimulationPlan(visits=40))
    assert (tally.visits, tally.failures) == (40, 10)


def test_evening_is_busy_and_morning_is_not() -> None:
    assert day_and_night(20 * HOUR, 0.4) == 1.4
    assert round(day_and_night(8 * HOUR, 0.4), 9) == 0.6


def test_a_few_are_far_more_popular_than_the_rest() -> None:
    rng = Random(1)
    drawn = Counter(skewed(rng, 1_000) for _ in range(10_000))
    assert min(drawn) == 0 and max(drawn) <= 999
    assert sum(drawn[index] for index in range(10)) > 2_500


def test_a_visit_lies_in_the_past_and_in_order() -> None:
    for seed in range(30):
        times = [event.occurred_ms for event in visit(Random(seed), "u", ["v1", "v2"] * 50, None, NOW)]
        assert times == sorted(times)
        assert all(at_ms <= NOW for at_ms in times)
