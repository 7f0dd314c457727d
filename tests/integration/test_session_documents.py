"""Session documents by a whole reader, on both serving stores: lists of the bundle that plays main, and crashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.clock import DAY, MINUTE, ManualClock
from core.events import TOPIC_INTERACTIONS
from core.ids import new_id
from core.traffic import TrafficPlan, Upstream
from ingest.audit import audit
from ingest.session_documents import session_expires_ms
from ingest.shelf import LiveShelf
from storage import releases as store
from storage.serving_store import (
    RECOMMENDATION_REALTIME,
    TRENDING_REALTIME,
    USER_REALTIME_PROFILE,
    Document,
    ServingStore,
)
from storage.serving_store_mongo import MongoServingStore
from tests.ingest_platform import FaultyServingStore, Platform, platform
from tests.ingest_support import NOW, event, message
from tests.small_model import publish_small


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.mongodb)])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path) as made:
        if request.param == "sqlite":
            yield made
            return
        url = request.getfixturevalue("mongodb_url")
        mongo: ServingStore = MongoServingStore(f"{url}/sessions_{new_id()}", made.clock)
        yield replace(made, serving_store=mongo)
        mongo.close()


def send(here: Platform, *seen: tuple[int, str, str, float | None]) -> None:
    """Events (number, viewer, video, percentage watched or None for a view) that happen now."""
    now_ms = here.clock.now_ms()
    events = [
        event(
            number,
            user_id=viewer,
            video_id=video,
            event_type="view" if percentage is None else "progress",
            details={"source": "home"} if percentage is None else {"watch_percentage": percentage},
            occurred_ms=now_ms,
        )
        for number, viewer, video, percentage in seen
    ]
    here.log.append(TOPIC_INTERACTIONS, [message(sent) for sent in events])


def session(here: Platform, viewer: str) -> Document:
    found = here.serving_store.get(RECOMMENDATION_REALTIME, viewer)
    assert found is not None
    return found


def move(here: Platform, by_ms: int) -> None:
    assert isinstance(here.clock, ManualClock)
    here.clock.move(by_ms)


def documents(here: Platform) -> list[list[tuple[str, Document]]]:
    names = (RECOMMENDATION_REALTIME, USER_REALTIME_PROFILE, TRENDING_REALTIME)
    return [here.serving_store.scan(name) for name in names]


def test_the_lists_come_from_the_bundle_that_plays_main(here: Platform) -> None:
    ref = publish_small(here.home / "bundles", "v1")
    main = Upstream(version="v1", bundle_digest=ref.digest, url="http://127.0.0.1:1")
    with here.database.begin() as connection:
        store.publish_plan(connection, TrafficPlan(epoch=1, created_ms=NOW, main=main))
    live = LiveShelf(here.database, here.serving_store, here.home / "bundles", here.clock)
    send(here, (0, "u", "m00", None), (1, "w", "m04", 30.0))
    here.read_all(shelf=live.shelf())
    (row,) = session(here, "u")["because_you_watched"]
    near = [video for video, _ in live.near("m00")]
    assert row == {"video_id": "m00", "items": near}
    assert len(near) == 5 and session(here, "u")["for_you"][:5] == near

    move(here, 31 * MINUTE)
    send(here, (2, "w", "m06", None))
    here.read_all(shelf=live.shelf())
    assert session(here, "w")["continue_watching"] == [{"video_id": "m04", "watch_percentage": 30.0}]
    assert session(here, "u")["began_ms"] == NOW
    move(here, session_expires_ms(NOW) - here.clock.now_ms())
    assert here.serving_store.get(RECOMMENDATION_REALTIME, "u") is None


def test_a_bundle_that_is_not_there_leaves_shorter_lists_and_the_reader_reading(here: Platform) -> None:
    main = Upstream(version="gone", bundle_digest="sha256:0", url="http://127.0.0.1:1")
    with here.database.begin() as connection:
        store.publish_plan(connection, TrafficPlan(epoch=1, created_ms=NOW, main=main))
    live = LiveShelf(here.database, here.serving_store, here.home / "bundles", here.clock)
    send(here, (0, "u", "m00", None), (1, "w", "m04", None))
    here.read_all(shelf=live.shelf())
    move(here, 31 * MINUTE)
    send(here, (2, "u", "m00", None))
    here.read_all(shelf=live.shelf())
    assert (session(here, "u")["because_you_watched"], session(here, "u")["for_you"]) == ([], ["m04"])


@pytest.mark.parametrize("collection", [RECOMMENDATION_REALTIME, USER_REALTIME_PROFILE, TRENDING_REALTIME])
def test_a_crash_between_sql_and_any_document_loses_no_update(here: Platform, collection: str) -> None:
    def die(written: str) -> None:
        if written == collection:
            raise KeyboardInterrupt

    send(here, *[(n, f"u{n % 5}", f"v{n:02}", 10.0 * (n % 10) if n % 3 else None) for n in range(30)])
    with pytest.raises(KeyboardInterrupt):
        here.reader(serving_store=FaultyServingStore(here.serving_store, die)).step(here.consumer())
    assert len(here.rows()) == 30 and here.serving_store.scan(collection) == []
    move(here, 5 * MINUTE)
    here.read_all()
    here.assert_documents_follow()
    assert len(here.serving_store.scan(RECOMMENDATION_REALTIME)) == 5
    before = documents(here)
    consumer = here.log.consumer("from the start", [TOPIC_INTERACTIONS])
    assert here.reader().step(consumer) == 30
    consumer.close()
    assert documents(here) == before
    assert audit(here.database, here.log).clean


def test_what_is_read_when_its_session_is_long_over_makes_no_document(here: Platform) -> None:
    send(here, (0, "u", "m00", None))
    move(here, 9 * DAY)
    here.read_all()
    assert here.serving_store.get(RECOMMENDATION_REALTIME, "u") is None
    assert here.profiles()["u"]["session_ms"] == NOW
