"""What counts as shown before: this process's own lists at once, the reader's documents for everything else."""

import pytest

from core.clock import HOUR, MINUTE
from core.errors import NotFoundError
from core.recommend_query import RecommendQuery
from inference.earlier import NOTHING, Earlier, Remembered, decayed, shown_until
from inference.profiles import ProfileRead, ShownRead, ShownRequest

NOW = 10 * HOUR
REQUESTS = (
    ShownRequest("old", NOW - 9 * HOUR, ("a",)),
    ShownRequest("page1", NOW - 2 * MINUTE, ("b", "c")),
    ShownRequest("page2", NOW - MINUTE, ("d",)),
    ShownRequest("later", NOW, ("e",)),
)


class Profiles:
    def __init__(self, *requests: ShownRequest) -> None:
        self.requests = requests
        self.reads = 0

    def read(self, user_id: str) -> ProfileRead:
        raise AssertionError(user_id)

    def shown(self, user_id: str) -> ShownRead:
        self.reads += 1
        return ShownRead(self.requests, in_time=True)


def test_a_request_that_asks_for_nothing_of_it_costs_no_read() -> None:
    profiles = Profiles(*REQUESTS)
    assert Earlier(profiles, HOUR).of(RecommendQuery("u1"), NOW) == NOTHING
    assert profiles.reads == 0


def test_pages_of_the_last_half_hour_up_to_the_request_are_left_out() -> None:
    assert shown_until(REQUESTS, "page2") == ("b", "c", "d")
    assert shown_until(REQUESTS, "old") == ("a",)
    assert shown_until(REQUESTS, "never") is None


def test_having_been_shown_counts_half_after_the_half_life() -> None:
    twice = (ShownRequest("r1", NOW, ("a", "b")), ShownRequest("r2", NOW - HOUR, ("b",)))
    assert decayed(twice, NOW, HOUR) == {"a": 1.0, "b": 1.5}
    assert decayed(twice, NOW - HOUR, HOUR)["a"] == 1.0  # a clock that is behind makes nothing heavier


def test_what_this_process_made_and_what_was_shown_are_both_left_out() -> None:
    earlier = Earlier(Profiles(*REQUESTS), HOUR)
    earlier.remember("page2", "u1", NOTHING, ("c", "x"))
    before = earlier.of(RecommendQuery("u1", after="page2"), NOW)
    assert sorted(before.left_out) == ["b", "c", "d", "x"]


def test_another_viewers_request_is_not_known() -> None:
    earlier = Earlier(Profiles(), HOUR)
    earlier.remember("r1", "u1", NOTHING, ("a",))
    with pytest.raises(NotFoundError, match="r1"):
        earlier.of(RecommendQuery("u2", after="r1"), NOW)


def test_only_the_newest_lists_are_remembered() -> None:
    made = Remembered(capacity=2)
    for number in range(4):
        made.add(f"r{number}", "u1", (f"m{number}",))
    assert [made.of(f"r{number}", "u1") for number in range(4)] == [None, None, ("m2",), ("m3",)]


def test_long_chains_of_pages_are_forgotten_sooner() -> None:
    made = Remembered(videos=5)
    made.add("r1", "u1", ("a", "b"))
    made.add("r2", "u1", ("a", "b", "c"))
    assert made.of("r1", "u1") == ("a", "b")
    made.add("r2", "u1", ("c",))  # the same request once more takes no more room
    made.add("r3", "u1", ("d", "e"))
    assert (made.of("r1", "u1"), made.of("r3", "u1")) == (("a", "b"), ("d", "e"))
    made.add("r4", "u1", ("f",))
    assert (made.of("r1", "u1"), made.of("r2", "u1")) == (None, ("c",))
