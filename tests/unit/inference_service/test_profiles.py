"""A profile is read within its deadline, or left out."""

import threading
from collections.abc import Callable
from time import monotonic

import pytest

from core.errors import DependencyError
from inference.profiles import (
    EmbeddedProfileReader,
    ProfileRead,
    ProfileReader,
    Profiles,
    ShownRead,
    ShownRequest,
)
from storage.serving_store import RECENTLY_SHOWN, USER_REALTIME_PROFILE, Document


class Store:
    """Only what is read; `gate`, while cleared, makes reads hang."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.away = False
        self.reads = 0

    def get(self, collection: str, key: str) -> Document | None:
        self.reads += 1
        assert collection == USER_REALTIME_PROFILE
        assert self.gate.wait(10)
        if self.away:
            raise DependencyError("the store is away")
        return {"watched": [["m1", 1, None, None]]} if key == "known" else None

    def scan(
        self, collection: str, first_key: str = "", limit: int = 1_000, before: str = ""
    ) -> list[tuple[str, Document]]:
        assert collection == RECENTLY_SHOWN
        assert self.gate.wait(10)
        if self.away:
            raise DependencyError("the store is away")
        documents = {
            "known/t:0": [["r1", 1, ["m1"]]],
            "known/t:1": [["r2", 2, ["m2", "m3"]]],
            "known0/t:0": [["r3", 3, ["m4"]]],
        }
        found = [(key, {"requests": documents[key]}) for key in documents if first_key <= key < before]
        return found[:limit]


def reader(store: Store, deadline_s: float = 5.0, threads: int = 2) -> ProfileReader:
    return ProfileReader(store, threads, deadline_s)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [reader, EmbeddedProfileReader])
def test_what_a_viewer_was_shown_is_gathered_from_every_partition(make: Callable[[Store], Profiles]) -> None:
    store = Store()
    profiles = make(store)
    requests = (ShownRequest("r1", 1, ("m1",)), ShownRequest("r2", 2, ("m2", "m3")))
    assert profiles.shown("known") == ShownRead(requests, in_time=True)
    assert profiles.shown("know") == ShownRead((), in_time=True)
    store.away = True
    assert profiles.shown("known") == ShownRead((), in_time=False)


@pytest.mark.parametrize("make", [reader, EmbeddedProfileReader])
def test_known_and_unknown_viewers(make: Callable[[Store], Profiles]) -> None:
    profiles = make(Store())
    assert profiles.read("known") == ProfileRead({"watched": [["m1", 1, None, None]]}, in_time=True)
    assert profiles.read("unknown") == ProfileRead(None, in_time=True)


@pytest.mark.parametrize("make", [reader, EmbeddedProfileReader])
def test_a_store_that_is_away_is_left_out(make: Callable[[Store], Profiles]) -> None:
    store = Store()
    store.away = True
    profiles = make(store)
    assert profiles.read("known") == ProfileRead(None, in_time=False)
    store.away = False
    assert profiles.read("known").in_time


def test_a_store_that_hangs_costs_the_deadline_and_then_nothing() -> None:
    store = Store()
    store.gate.clear()
    profiles = reader(store, deadline_s=0.03)
    began = monotonic()
    assert [profiles.read("known").in_time for _ in range(50)] == [False] * 50
    assert monotonic() - began < 1
    assert store.reads == 2  # as many as there are threads: nobody else queued behind them
    store.gate.set()
    deadline = monotonic() + 5
    while not profiles.read("known").in_time:
        assert monotonic() < deadline
    profiles.close()
