"""The contract of the serving store, against the embedded store and MongoDB's wire protocol."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.clock import HOUR, ManualClock
from core.errors import ConflictError, DependencyError
from storage.serving_store import TRENDING_REALTIME, USER_REALTIME_PROFILE, ServingStore
from storage.serving_store_mongo import MongoServingStore
from storage.serving_store_sqlite import SqliteServingStore
from tests.support import free_port

PROFILE = {
    "watched": [["v.1", 1_700_000_000_000, 4.0, 0.5], ["v$2", 1_700_000_000_001, None, None]],
    "offsets": {"user_interactions:0": 2**53 + 1, "topic.with.dots:1": 0},
    "counts": {"tt0.133:093": 3},
    "true": True,
    "nothing": None,
    "nested": {"a": [{"b": []}], "": "empty key"},
    "text": 'quotes " and \\ and é 🎬',
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.mongodb)])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[ServingStore]:
    if request.param == "sqlite":
        opened: ServingStore = SqliteServingStore(tmp_path / "serving.db", clock)
    else:
        url = request.getfixturevalue("mongodb_url")
        opened = MongoServingStore(f"{url}/test_{uuid.uuid4().hex}", clock)
    yield opened
    opened.close()


def test_a_document_comes_back_as_it_was_put(store: ServingStore) -> None:
    store.put_many(USER_REALTIME_PROFILE, {"u1": PROFILE})
    assert store.get(USER_REALTIME_PROFILE, "u1") == PROFILE


def test_what_is_not_there_is_none(store: ServingStore) -> None:
    assert store.get(USER_REALTIME_PROFILE, "nobody") is None
    assert store.get_many(USER_REALTIME_PROFILE, ["nobody"]) == {}
    assert store.get_many(USER_REALTIME_PROFILE, []) == {}


def test_many_documents_come_at_once_whatever_their_keys_are(store: ServingStore) -> None:
    keys = ['"', "'", "\\", "a b", "é🎬", "1", "null", "u/1:2", *(f"k{n}" for n in range(1_500))]
    store.put_many(USER_REALTIME_PROFILE, {key: {"n": n} for n, key in enumerate(keys)})
    asked = [*keys, "absent", keys[0]]
    assert store.get_many(USER_REALTIME_PROFILE, asked) == {key: {"n": n} for n, key in enumerate(keys)}
    assert store.get_many(TRENDING_REALTIME, asked) == {}


def test_a_put_replaces_the_whole_document(store: ServingStore) -> None:
    store.put_many(USER_REALTIME_PROFILE, {"u1": {"a": 1, "b": 2}})
    store.put_many(USER_REALTIME_PROFILE, {"u1": {"b": 3}})
    assert store.get(USER_REALTIME_PROFILE, "u1") == {"b": 3}


def test_what_somebody_else_has_put_meanwhile_is_not_replaced(store: ServingStore) -> None:
    store.put_many(USER_REALTIME_PROFILE, {"old": {"n": 0}, "mine": {"n": 0}})
    keys = ["old", "mine", "new", "newer"]
    documents, found = store.get_versions(USER_REALTIME_PROFILE, keys)
    assert documents == {"old": {"n": 0}, "mine": {"n": 0}}
    for key in ("old", "newer"):
        _, theirs = store.get_versions(USER_REALTIME_PROFILE, [key])
        store.replace_many(USER_REALTIME_PROFILE, {key: {"n": 1}}, theirs)
        with pytest.raises(ConflictError) as refused:
            store.replace_many(USER_REALTIME_PROFILE, {key: {"n": 2}}, found)
        assert refused.value.retriable
        assert store.get(USER_REALTIME_PROFILE, key) == {"n": 1}
    store.replace_many(USER_REALTIME_PROFILE, {"mine": {"n": 2}, "new": {"n": 2}}, found)
    _, again = store.get_versions(USER_REALTIME_PROFILE, keys)
    store.replace_many(USER_REALTIME_PROFILE, {key: {"n": 3} for key in keys}, again)
    assert store.get_many(USER_REALTIME_PROFILE, keys) == {key: {"n": 3} for key in keys}


def test_a_replacement_can_expire(store: ServingStore, clock: ManualClock) -> None:
    for n in range(2):
        _, found = store.get_versions(TRENDING_REALTIME, ["k"])
        store.replace_many(TRENDING_REALTIME, {"k": {"n": n}}, found, clock.now_ms() + HOUR)
        clock.move(HOUR - 1)
        assert store.get(TRENDING_REALTIME, "k") == {"n": n}
    clock.move(1)
    assert store.get_versions(TRENDING_REALTIME, ["k"])[0] == {}


def test_collections_do_not_mix(store: ServingStore) -> None:
    store.put_many(USER_REALTIME_PROFILE, {"k": {"of": "profile"}})
    assert store.get(TRENDING_REALTIME, "k") is None


def test_get_many_returns_those_that_exist(store: ServingStore) -> None:
    store.put_many(USER_REALTIME_PROFILE, {f"u{i}": {"i": i} for i in range(2_500)})
    wanted = [f"u{i}" for i in range(0, 5_000, 2)]
    assert store.get_many(USER_REALTIME_PROFILE, wanted) == {f"u{i}": {"i": i} for i in range(0, 2_500, 2)}


def test_an_expired_document_is_not_returned(store: ServingStore, clock: ManualClock) -> None:
    store.put_many(TRENDING_REALTIME, {"short": {"n": 1}}, expires_ms=clock.now_ms() + HOUR)
    store.put_many(TRENDING_REALTIME, {"long": {"n": 2}}, expires_ms=clock.now_ms() + 2 * HOUR)
    store.put_many(TRENDING_REALTIME, {"for ever": {"n": 3}})
    clock.move(HOUR)
    assert store.get(TRENDING_REALTIME, "short") is None
    assert store.get_many(TRENDING_REALTIME, ["short", "long", "for ever"]).keys() == {"long", "for ever"}
    assert [key for key, _ in store.scan(TRENDING_REALTIME)] == ["for ever", "long"]


def test_an_expired_document_can_be_put_again(store: ServingStore, clock: ManualClock) -> None:
    store.put_many(TRENDING_REALTIME, {"k": {"n": 1}}, expires_ms=clock.now_ms() - 1)
    store.put_many(TRENDING_REALTIME, {"k": {"n": 2}}, expires_ms=clock.now_ms() + 1)
    assert store.get(TRENDING_REALTIME, "k") == {"n": 2}


def test_a_put_without_expiry_takes_an_old_expiry_away(store: ServingStore, clock: ManualClock) -> None:
    store.put_many(TRENDING_REALTIME, {"k": {"n": 1}}, expires_ms=clock.now_ms() + 1)
    store.put_many(TRENDING_REALTIME, {"k": {"n": 2}})
    clock.move(HOUR)
    assert store.get(TRENDING_REALTIME, "k") == {"n": 2}


def test_scan_goes_in_key_order_from_a_key_on(store: ServingStore) -> None:
    store.put_many(TRENDING_REALTIME, {f"{i:010d}:t:0": {"i": i} for i in (3, 1, 20, 2)})
    assert [body["i"] for _, body in store.scan(TRENDING_REALTIME)] == [1, 2, 3, 20]
    assert store.scan(TRENDING_REALTIME, first_key=f"{2:010d}", limit=2) == [
        (f"{2:010d}:t:0", {"i": 2}),
        (f"{3:010d}:t:0", {"i": 3}),
    ]


def test_scan_ends_before_a_key(store: ServingStore) -> None:
    documents = {key: {"key": key} for key in ("a/t:0", "a/t:1", "a0/t:0", "a", "a.b/t:0", "ab/t:0")}
    store.put_many(USER_REALTIME_PROFILE, documents)
    found = store.scan(USER_REALTIME_PROFILE, "a/", 10, before="a0")
    assert [key for key, _ in found] == ["a/t:0", "a/t:1"]
    assert store.scan(USER_REALTIME_PROFILE, "b", 10, before="b") == []


def test_delete_many_removes_what_is_there(store: ServingStore) -> None:
    store.put_many(USER_REALTIME_PROFILE, {"a": {}, "b": {}})
    store.delete_many(USER_REALTIME_PROFILE, ["a", "absent"])
    assert [key for key, _ in store.scan(USER_REALTIME_PROFILE)] == ["b"]


def test_threads_may_share_a_store(store: ServingStore) -> None:
    def write(writer: int) -> None:
        for i in range(20):
            store.put_many(USER_REALTIME_PROFILE, {f"{writer}-{i}": {"i": i}})
            assert store.get(USER_REALTIME_PROFILE, f"{writer}-{i}") == {"i": i}

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(store.scan(USER_REALTIME_PROFILE)) == 80


def test_an_absent_server_is_a_dependency_error_within_the_timeout(clock: ManualClock) -> None:
    store = MongoServingStore(f"mongodb://127.0.0.1:{free_port()}", clock, timeout_ms=200)
    with pytest.raises(DependencyError, match="MongoDB"):
        store.get(USER_REALTIME_PROFILE, "u1")
    store.close()
