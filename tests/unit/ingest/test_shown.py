"""The documents of what was shown: idempotent, the newest requests only, one writer each."""

from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY
from ingest.shown import KEPT_REQUESTS, follow_shown, shown_after
from storage.exposures import LoggedExposure
from storage.serving_store import RECENTLY_SHOWN, Document
from tests.ingest_support import NOW, MemoryServingStore, exposure


def row(number: int, partition: int = 0, **changes: object) -> LoggedExposure:
    shown = exposure(f"r{number:02}", **{"served_ms": NOW + number, "items": (f"m{number}",), **changes})
    return LoggedExposure("shown", partition, number, 0, shown)


def entry(number: int) -> list[object]:
    return [f"r{number:02}", NOW + number, [f"m{number}"]]


@given(st.lists(st.integers(0, 25), max_size=25), st.integers(0, 25))
def test_rows_may_come_again_and_in_any_split(numbers: list[int], split: int) -> None:
    rows = [row(number) for number in numbers]
    whole = shown_after({}, rows)
    first = shown_after({}, rows[:split])
    second = {**first, **shown_after(first, rows[split:])}
    assert whole == second
    assert shown_after(whole, rows[-KEPT_REQUESTS:]) in ({}, whole)
    newest = sorted(set(numbers))[-KEPT_REQUESTS:]
    assert whole == ({"u1/shown:0": {"requests": [entry(n) for n in newest]}} if numbers else {})


def test_every_partition_has_a_document_of_its_own() -> None:
    after = shown_after({}, [row(1), row(2, partition=1), row(3, user_id="u2")])
    assert after == {
        "u1/shown:0": {"requests": [entry(1)]},
        "u1/shown:1": {"requests": [entry(2)]},
        "u2/shown:0": {"requests": [entry(3)]},
    }


def test_what_is_a_day_old_or_empty_or_of_nobody_is_left_out() -> None:
    store = MemoryServingStore()
    rows = [row(1, served_ms=NOW - DAY), row(2, items=()), row(3, user_id="a/b"), row(4)]
    follow_shown(store, rows, NOW)
    assert store.documents == {(RECENTLY_SHOWN, "u1/shown:0"): {"requests": [entry(4)]}}
    assert store.writes == 1


def test_a_replay_writes_nothing() -> None:
    store = MemoryServingStore()
    for _ in range(2):
        follow_shown(store, [row(1), row(2)], NOW)
    assert store.writes == 1
    document: Document = store.documents[RECENTLY_SHOWN, "u1/shown:0"]
    assert document["requests"] == [entry(1), entry(2)]
