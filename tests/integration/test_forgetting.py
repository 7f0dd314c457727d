"""`understudy forget`: a viewer is gone from every store, others are not touched, and what remains is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import DependencyError, InvalidInputError
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.exposures import encode_exposures
from core.traffic import TrafficPlan, Upstream
from ingest.audit import audit
from storage import releases as store
from storage.bundles import Manifest, publish, staging_folder
from storage.event_log import Message
from storage.serving_store import (
    OF_VIEWERS,
    RECENTLY_SHOWN,
    USER_REALTIME_PROFILE,
    VIDEO_CATALOG,
    keys_of_viewer,
)
from tests.ingest_platform import FaultyServingStore, Platform, fails, platform
from tests.ingest_support import NOW, event, exposure, message, messages
from understudy.forgetting import Forgotten, forget


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path) as made:
        made.log.append(TOPIC_INTERACTIONS, [*messages(range(170)), Message("u3", b'{"user_id":"u3",')])
        shown = [exposure(f"r{n}", user_id=f"u{n}") for n in range(5)]
        made.log.append(TOPIC_EXPOSURES, [Message(None, encode_exposures(shown))])
        made.read_all()
        # A video that is called like the viewer is a video still.
        made.serving_store.put_many(VIDEO_CATALOG, {"u3": {"title": "U3"}})
        made.serving_store.put_many("recommendation_realtime", {"u3": {"for_you": []}})
        made.serving_store.put_many(RECENTLY_SHOWN, {"u33/shown:0": {"requests": []}})
        yield made


def forgets(here: Platform, user_id: str = "u3", **parts: Any) -> Forgotten:
    given = {"database": here.database, "serving_store": here.serving_store, "archived": 0, "log": "kept"}
    return forget(user_id, bundles=here.home / "bundles", **{**given, **parts})


def bundle(here: Platform, version: str, viewers: list[str]) -> str:
    store_ = here.home / "bundles"
    manifest = Manifest(
        version=version,
        created_ms=NOW,
        as_of_ms=NOW,
        data_digest="",
        code_revision="",
        encoder="",
        encoder_digest="",
        dimensions={},
    )
    with staging_folder(store_) as staging:
        (staging / "viewers.json").write_text(json.dumps(viewers))
        return publish(store_, staging, manifest).digest


def test_the_viewer_is_gone_and_nobody_else(here: Platform) -> None:
    report = forgets(here)
    assert (report.rows.interactions, report.rows.exposures, report.rows.dead_letters) == (10, 1, 1)
    assert report.documents == dict.fromkeys(OF_VIEWERS, 1)
    assert "u3" not in {row.interaction.user_id for row in here.rows()}
    assert len(here.rows()) == 160
    assert "u3" not in here.profiles() and len(here.profiles()) == 16
    assert here.serving_store.get(VIDEO_CATALOG, "u3") == {"title": "U3"}
    assert here.serving_store.get(RECENTLY_SHOWN, "u33/shown:0") == {"requests": []}
    found = audit(here.database, here.log)
    assert found.clean, found.sentences()


def test_a_second_time_there_is_nothing_to_delete(here: Platform) -> None:
    assert forgets(here).deleted == 15
    again = forgets(here)
    assert (again.deleted, again.rows.dead_letters) == (0, 0)
    assert forgets(here, "nobody").deleted == 0


def test_a_dry_run_tells_the_same_and_deletes_nothing(here: Platform) -> None:
    said = forgets(here, dry_run=True)
    assert len(here.rows()) == 170 and "u3" in here.profiles()
    done = forgets(here)
    assert (said.rows, said.documents) == (done.rows, done.documents)


def test_killed_between_the_stores_it_finishes_when_it_is_run_again(here: Platform) -> None:
    away = FaultyServingStore(here.serving_store, lambda _: None)
    away.delete_many = fails(1, DependencyError("away"))  # type: ignore[method-assign]
    with pytest.raises(DependencyError):
        forgets(here, serving_store=away)
    assert "u3" in here.profiles()
    report = forgets(here)
    assert (report.rows.interactions, report.documents["user_realtime_profile"]) == (0, 1)
    assert "u3" not in here.profiles()


def test_a_reader_that_reads_everything_again_stores_nothing_of_the_viewer(here: Platform) -> None:
    forgets(here)
    again = here.reader()
    consumer = here.log.consumer("another-group", [TOPIC_EXPOSURES, TOPIC_INTERACTIONS])
    while again.step(consumer):
        pass
    consumer.close()
    assert "u3" not in {row.interaction.user_id for row in here.rows()} | here.profiles().keys()
    assert not any(keys_of_viewer(here.serving_store, name, "u3") for name in OF_VIEWERS)
    assert keys_of_viewer(here.serving_store, RECENTLY_SHOWN, "u4")
    assert audit(here.database, here.log).clean


@pytest.mark.parametrize("collection", [USER_REALTIME_PROFILE, RECENTLY_SHOWN])
def test_a_reader_in_the_middle_of_a_batch_leaves_no_document_of_the_viewer(
    here: Platform, collection: str
) -> None:
    def forgotten_before_it_is_written(written: str) -> None:
        if written == collection:
            forgets(here)

    store_ = FaultyServingStore(here.serving_store, forgotten_before_it_is_written)
    store_.delete_many = here.serving_store.delete_many  # type: ignore[method-assign]
    store_.scan = here.serving_store.scan  # type: ignore[method-assign]
    store_.get = here.serving_store.get  # type: ignore[method-assign]
    here.log.append(TOPIC_INTERACTIONS, messages(range(200, 240)))
    shown = [exposure(f"more{n}", user_id=f"u{n}") for n in range(5)]
    here.log.append(TOPIC_EXPOSURES, [Message(None, encode_exposures(shown))])
    here.read_all(serving_store=store_)
    assert not any(keys_of_viewer(here.serving_store, name, "u3") for name in OF_VIEWERS)
    assert "u4" in here.profiles() and keys_of_viewer(here.serving_store, RECENTLY_SHOWN, "u4")
    assert "u3" not in {row.interaction.user_id for row in here.rows()}
    assert audit(here.database, here.log).clean


def test_what_the_viewer_does_afterwards_is_stored_again(here: Platform) -> None:
    forgets(here)
    here.log.append(TOPIC_INTERACTIONS, [message(event(900, user_id="u3"))])
    here.read_all()
    assert [row.interaction.event_id for row in here.rows() if row.interaction.user_id == "u3"] == ["e900"]
    assert audit(here.database, here.log).clean


def test_bundles_that_hold_the_viewer_are_named_with_what_they_play(here: Platform) -> None:
    digest = bundle(here, "v1", ["u1", "u3"])
    bundle(here, "v2", ["u3"])
    bundle(here, "v3", ["u30", "u1"])
    main = Upstream(version="v1", bundle_digest=digest, url="http://127.0.0.1:1")
    with here.database.begin() as connection:
        store.publish_plan(connection, TrafficPlan(epoch=1, created_ms=NOW, main=main))
    first, second = forgets(here).bundles
    assert (first.version, second.version) == ("v1", "v2")
    assert "plays main" in first.until
    assert "does not play" in second.until
    said = forgets(here).sentences()
    assert said[-1] == "event log: kept"
    assert any(line.startswith("bundle v1 holds the id, the history and the factors") for line in said)


def test_what_cannot_be_a_viewer_is_refused(here: Platform) -> None:
    with pytest.raises(InvalidInputError, match="user_id"):
        forgets(here, "nobody at all")
