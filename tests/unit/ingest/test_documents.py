from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.clock import HOUR, MINUTE
from core.events import Interaction
from ingest import documents
from ingest.documents import profiles_after, trending_after, trending_expires_ms, trending_rows
from ingest.following import follow
from storage.interactions import LoggedInteraction
from storage.serving_store import Document
from tests.ingest_support import NOW, MemoryServingStore, event, logged

DETAILS: list[tuple[str, dict[str, Any]]] = [
    ("view", {"source": "home"}),
    ("progress", {"watch_percentage": 40}),
    ("complete", {}),
    ("rating", {"rating": 4}),
    ("like", {"like_type": 1}),
    ("search", {"query": "x"}),
    ("subscribe", {"publisher_id": "p"}),
]


@st.composite
def interactions(draw: st.DrawFn) -> Interaction:
    event_type, details = draw(st.sampled_from(DETAILS))
    received_ms = NOW + draw(st.integers(0, 5)) * 30_000
    return event(
        draw(st.integers(0, 9)),
        user_id=draw(st.sampled_from("ab")),
        video_id=None if event_type in {"search", "subscribe"} else draw(st.sampled_from("vwxyz")),
        event_type=event_type,
        details=details,
        received_ms=received_ms,
        occurred_ms=received_ms - draw(st.sampled_from([0, 1_000, 2_000, 2 * HOUR])),
    )


@st.composite
def logs(draw: st.DrawFn) -> list[LoggedInteraction]:
    """Rows of two partitions, each in offset order with gaps, in any order between the two."""
    rows = []
    following = [0, 0]
    for sent in draw(st.lists(interactions(), max_size=25)):
        partition = draw(st.integers(0, 1))
        following[partition] += draw(st.integers(1, 3))
        rows.append(logged(following[partition], sent, partition=partition))
    return rows


def applied(batches: list[list[LoggedInteraction]]) -> dict[tuple[str, str], Document]:
    store = MemoryServingStore()
    for batch in batches:
        follow(store, batch, NOW)
    return store.documents


@given(logs(), st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), max_size=8))
def test_any_replay_and_any_split_into_batches_gives_the_same_documents(
    rows: list[LoggedInteraction], deliveries: list[tuple[int, int]]
) -> None:
    batches, reached = [], 0
    for start, length in deliveries:  # each begins at or before what was reached, as after a crash
        first = min(start, reached)
        batches.append(rows[first : first + length])
        reached = max(reached, first + length)
    batches.append(rows[reached:])
    assert applied(batches) == applied([rows])


@given(logs())
def test_rows_that_are_applied_write_nothing_again(rows: list[LoggedInteraction]) -> None:
    store = MemoryServingStore()
    follow(store, rows, NOW)
    before = store.writes
    follow(store, rows, NOW)
    assert store.writes == before


@given(logs())
def test_a_profile_holds_each_watched_video_once_oldest_first(rows: list[LoggedInteraction]) -> None:
    for document in profiles_after({}, rows).values():
        times = [at for _, at, *_ in document["watched"]]
        videos = [video for video, *_ in document["watched"]]
        assert times == sorted(times)
        assert len(set(videos)) == len(videos) > 0


def test_the_newest_rating_and_share_count_and_an_event_without_one_keeps_the_last() -> None:
    rows = [
        logged(0, event(1, user_id="a", video_id="v", details={"rating": 5}, occurred_ms=10)),
        logged(1, event(2, user_id="a", video_id="v", event_type="view", details={}, occurred_ms=30)),
        logged(2, event(3, user_id="a", video_id="v", details={"watch_percentage": 40}, occurred_ms=20)),
    ]
    assert profiles_after({}, rows) == {
        "a": {"watched": [["v", 30, 5.0, 0.4]], "offsets": {"user_interactions:0": 2}}
    }


def test_a_single_value_of_earlier_versions_is_a_rating_above_1_and_else_dropped() -> None:
    before = {"a": {"watched": [["v", 10, 4.0], ["w", 11, 0.5]], "offsets": {}}}
    rows = [logged(0, event(1, user_id="a", video_id="v", details={"watch_percentage": 40}, occurred_ms=20))]
    rows += [logged(1, event(2, user_id="a", video_id="w", details={}, event_type="view", occurred_ms=30))]
    assert profiles_after(before, rows)["a"]["watched"] == [["v", 20, 4.0, 0.4], ["w", 30, None, None]]


def test_a_profile_keeps_the_latest_2000_videos() -> None:
    rows = [logged(n, event(n, user_id="a", video_id=f"v{n}", occurred_ms=n)) for n in range(2_010)]
    watched = profiles_after({}, rows)["a"]["watched"]
    assert len(watched) == documents.PROFILE_VIDEOS == 2_000
    assert (watched[0][0], watched[-1][0]) == ("v10", "v2009")


def test_a_search_changes_no_profile() -> None:
    assert profiles_after({}, [logged(0, event(1, event_type="search", video_id=None))]) == {}


def test_a_watching_trends_once_in_the_minute_it_was_received() -> None:
    rows = [
        logged(4, event(1, video_id="v", event_type="view", received_ms=NOW, occurred_ms=NOW)),
        logged(5, event(2, video_id="v", event_type="complete", received_ms=NOW, occurred_ms=NOW)),
        logged(6, event(3, video_id="v", event_type="rating", received_ms=NOW + MINUTE, occurred_ms=NOW)),
    ]
    minute = NOW // MINUTE
    assert trending_after({}, trending_rows(rows)) == {
        f"{minute:010d}:user_interactions:0": {"counts": {"v": 1}, "offset": 4},
        f"{minute + 1:010d}:user_interactions:0": {"counts": {"v": 1}, "offset": 6},
    }


def test_what_happened_long_before_it_was_received_does_not_trend() -> None:
    assert (
        trending_after({}, trending_rows([logged(0, event(1, received_ms=NOW, occurred_ms=NOW - HOUR))]))
        == {}
    )


def test_a_window_that_is_over_a_day_old_is_not_written_again() -> None:
    row = logged(0, event(1, received_ms=NOW, occurred_ms=NOW))
    (key,) = trending_after({}, trending_rows([row]))
    store = MemoryServingStore()
    follow(store, [row], trending_expires_ms(key))
    assert store.scan("trending_realtime") == []
