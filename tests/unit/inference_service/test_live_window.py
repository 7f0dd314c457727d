"""Live trending: windows of minutes summed with decay, by looks that cost little and lose nothing."""

from collections.abc import Mapping

import pytest

from core.clock import MINUTE, ManualClock
from core.errors import DependencyError
from inference.live_window import LiveWindow, decayed_counts, first_key
from storage.serving_store import PAGE, TRENDING_REALTIME, Document

START = 28_000_000  # minutes


class Store:
    """Documents in memory; remembers from which key on it was asked."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.asked: list[str] = []
        self.away = False

    def put(self, minute: int, partition: int = 0, **counts: int) -> None:
        self.documents[f"{first_key(minute)}:user_interactions:{partition}"] = {"counts": counts, "offset": 1}

    def scan(self, collection: str, first: str = "", limit: int = 1_000) -> list[tuple[str, Document]]:
        assert collection == TRENDING_REALTIME
        if self.away:
            raise DependencyError("away")
        self.asked.append(first)
        return sorted((key, body) for key, body in self.documents.items() if key >= first)[:limit]


def window(store: Store, clock: ManualClock, minutes: int = 60) -> LiveWindow[Mapping[str, float]]:
    return LiveWindow(store, clock, dict, minutes=minutes, half_life_minutes=10)  # type: ignore[arg-type]


def test_weight_halves_with_age() -> None:
    windows = {f"{first_key(START - age)}:t:0": {"a": 8} for age in (0, 10, 20)}
    assert decayed_counts(windows, START, 10) == {"a": pytest.approx(8 + 4 + 2)}


def test_a_window_from_the_future_counts_once() -> None:
    assert decayed_counts({f"{first_key(START + 5)}:t:0": {"a": 8}}, START, 10) == {"a": 8}


def test_partitions_and_minutes_are_summed() -> None:
    store, clock = Store(), ManualClock(START * MINUTE)
    store.put(START, 0, a=1, b=2)
    store.put(START, 1, a=3)
    live = window(store, clock)
    live.refresh()
    assert live.current == {"a": 4, "b": 2}


def test_a_growing_window_is_seen_at_the_next_look() -> None:
    store, clock = Store(), ManualClock(START * MINUTE)
    live = window(store, clock)
    live.refresh()
    assert live.current == {}
    store.put(START, a=1)
    live.refresh()
    store.put(START, a=5)
    live.refresh()
    assert live.current == {"a": 5}


def test_a_look_asks_only_for_what_may_have_changed() -> None:
    store, clock = Store(), ManualClock(START * MINUTE)
    store.put(START - 50, a=32)
    live = window(store, clock)
    live.refresh()
    live.refresh()
    assert store.asked == [first_key(START - 60), first_key(START - 5)]
    assert live.current == {"a": pytest.approx(1)}


def test_what_is_older_than_the_window_leaves_it() -> None:
    store, clock = Store(), ManualClock(START * MINUTE)
    store.put(START, a=1)
    live = window(store, clock, minutes=30)
    live.refresh()
    clock.move(31 * MINUTE)
    live.refresh()
    assert live.current == {}


def test_more_windows_than_a_page() -> None:
    store, clock = Store(), ManualClock(START * MINUTE)
    for partition in range(2 * PAGE):
        store.put(START, partition, a=1)
    live = window(store, clock)
    live.refresh()
    assert live.current == {"a": 2 * PAGE}


def test_nothing_changed_nothing_is_made_anew() -> None:
    store, clock = Store(), ManualClock(START * MINUTE)
    store.put(START, a=1)
    live = window(store, clock)
    live.refresh()
    before = live.current
    live.refresh()
    assert live.current is before


def test_the_last_counts_stay_while_the_store_is_away() -> None:
    store, clock = Store(), ManualClock(START * MINUTE)
    store.put(START, a=1)
    live = window(store, clock)
    assert live.stale
    live.refresh()
    store.away = True
    with pytest.raises(DependencyError):
        live.refresh()
    assert live.current == {"a": 1}
    assert not live.stale
