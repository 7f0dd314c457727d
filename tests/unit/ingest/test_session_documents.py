from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.clock import HOUR, MINUTE
from core.events import Interaction
from ingest.documents import SESSION_MS, profile_changes, profiles_after
from ingest.following import follow
from ingest.session_documents import (
    EMPTY_SHELF,
    LENGTH,
    Shelf,
    session_document,
    session_documents,
    session_expires_ms,
)
from storage.interactions import LoggedInteraction
from storage.serving_store import RECOMMENDATION_REALTIME, USER_REALTIME_PROFILE, Document
from tests.ingest_support import NOW, MemoryServingStore, event, logged

NEAR = {"a": [("x", 0.9), ("b", 0.8), ("y", 0.5)], "b": [("y", 0.6), ("z", 0.1)]}
SHELF = Shelf(lambda video_id: NEAR.get(video_id, []), lambda: ("a", "t1", "y", "t2"))


def seen(offset: int, minute: float, video_id: str, percentage: float | None = None) -> LoggedInteraction:
    """A view, or progress, of viewer `u`, received `minute` minutes after NOW."""
    at_ms = NOW + round(minute * MINUTE)
    details: dict[str, Any] = {"source": "home"} if percentage is None else {"watch_percentage": percentage}
    kind = "view" if percentage is None else "progress"
    return logged(
        offset,
        event(
            offset,
            user_id="u",
            video_id=video_id,
            event_type=kind,
            details=details,
            occurred_ms=at_ms,
            received_ms=at_ms,
        ),
    )


def session_after(rows: list[LoggedInteraction]) -> Document:
    store = MemoryServingStore()
    follow(store, rows, NOW, SHELF)
    found = store.get(RECOMMENDATION_REALTIME, "u")
    assert found is not None
    return found


def test_the_first_action_begins_a_session_and_half_an_hour_later_the_next_one_does() -> None:
    rows = [seen(0, 0, "a"), seen(1, 10, "b"), seen(2, 29.9, "c")]
    assert session_after(rows)["began_ms"] == NOW
    assert session_after([*rows, seen(3, 30, "d")])["began_ms"] == NOW + SESSION_MS


def test_what_comes_late_begins_no_session() -> None:
    row = logged(0, event(0, user_id="u", occurred_ms=NOW - HOUR, received_ms=NOW))
    assert profile_changes({}, [row])["u"].at_session is None


def test_the_lists_are_of_what_is_near_and_not_watched_and_then_of_what_trends() -> None:
    document = session_after([seen(0, 0, "b"), seen(1, 0, "a"), seen(2, 31, "a")])
    assert document["because_you_watched"] == [
        {"video_id": "a", "items": ["x", "y"]},
        {"video_id": "b", "items": ["y", "z"]},
    ]
    assert document["for_you"] == ["y", "x", "z", "t1", "t2"]  # y is near both
    assert document["offsets"] == {"user_interactions:0": 2}


def test_a_video_is_to_be_continued_until_nine_tenths_of_it_were_seen() -> None:
    rows = [seen(0, 0, "a", 40), seen(1, 1, "b", 89.9), seen(2, 2, "c", 90), seen(3, 3, "a", 55.5)]
    (change,) = profile_changes({}, [*rows, seen(4, 40, "d")]).values()
    assert change.at_session is not None
    assert session_document(change.at_session, EMPTY_SHELF)["continue_watching"] == [
        {"video_id": "a", "watch_percentage": 55.5},
        {"video_id": "b", "watch_percentage": 89.9},
    ]


def test_what_was_finished_is_not_continued_even_if_earlier_progress_comes_afterwards() -> None:
    done = seen(1, 5, "a", 100)
    late = logged(
        2,
        event(
            2,
            user_id="u",
            video_id="a",
            event_type="progress",
            details={"watch_percentage": 30},
            occurred_ms=NOW + 1,
            received_ms=NOW + 6 * MINUTE,
        ),
    )
    assert "unfinished" not in profiles_after({}, [seen(0, 0, "a", 20), done, late])["u"]
    completed = logged(
        1,
        event(
            1,
            user_id="u",
            video_id="a",
            event_type="complete",
            details={},
            occurred_ms=NOW + 1,
            received_ms=NOW,
        ),
    )
    assert "unfinished" not in profiles_after({}, [seen(0, 0, "a", 20), completed])["u"]


def test_a_list_is_never_longer_than_its_length() -> None:
    many = Shelf(lambda _: [(f"n{n}", 1 - n / 100) for n in range(50)], lambda: [f"t{n}" for n in range(50)])
    rows = [seen(n, 0, f"v{n}", 10) for n in range(60)]
    (change,) = profile_changes({}, [*rows, seen(60, 31, "w")]).values()
    assert change.at_session is not None
    document = session_document(change.at_session, many)
    assert len(document["for_you"]) == len(document["continue_watching"]) == LENGTH
    assert [len(row["items"]) for row in document["because_you_watched"]] == [LENGTH] * 3


def test_a_session_that_is_over_is_not_written_again() -> None:
    changes = profile_changes({}, [seen(0, 0, "a")])
    expires_ms = session_expires_ms(NOW)
    assert session_documents(changes, SHELF, expires_ms) == {}
    assert session_documents(changes, SHELF, expires_ms - 1).keys() == {expires_ms}


@st.composite
def visits(draw: st.DrawFn) -> list[LoggedInteraction]:
    """Rows of two viewers over some hours, in offset order."""
    rows, at_ms = [], NOW
    for offset in range(draw(st.integers(0, 20))):
        at_ms += draw(st.sampled_from([0, MINUTE, SESSION_MS - 1, SESSION_MS, HOUR]))
        kind, details = draw(
            st.sampled_from(
                [("view", {}), ("progress", {"watch_percentage": 50}), ("complete", {}), ("search", {"query": "q"})]
            )
        )  # fmt: skip
        sent: Interaction = event(
            offset,
            user_id=draw(st.sampled_from("uw")),
            video_id=draw(st.sampled_from("abcd")),
            event_type=kind,
            details=details,
            occurred_ms=at_ms - draw(st.sampled_from([0, 2_000, 2 * HOUR])),
            received_ms=at_ms,
        )
        rows.append(logged(offset, sent))
    return rows


class DyingStore(MemoryServingStore):
    """Writes so many times, and then no more."""

    def __init__(self, documents: dict[tuple[str, str], Document], lives: int) -> None:
        super().__init__()
        self.documents = documents
        self._lives = lives

    def put_many(self, collection: str, documents: Any, expires_ms: int | None = None) -> None:
        if self._lives == 0:
            raise KeyboardInterrupt
        self._lives -= 1
        super().put_many(collection, documents, expires_ms)


@given(visits(), st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=12))
def test_any_crash_and_any_split_into_batches_gives_the_same_documents(
    rows: list[LoggedInteraction], deliveries: list[tuple[int, int]]
) -> None:
    whole = MemoryServingStore()
    follow(whole, rows, NOW, SHELF)
    documents: dict[tuple[str, str], Document] = {}
    committed = 0
    for length, lives in deliveries:  # a batch, and after how many writes the reader dies in it
        try:
            follow(DyingStore(documents, lives), rows[committed : committed + length], NOW, SHELF)
        except KeyboardInterrupt:
            continue  # its batch comes again, perhaps longer or shorter
        committed += length
    last = DyingStore(documents, 1_000)
    follow(last, rows[committed:], NOW, SHELF)
    for collection in (RECOMMENDATION_REALTIME, USER_REALTIME_PROFILE):
        assert last.scan(collection) == whole.scan(collection)
