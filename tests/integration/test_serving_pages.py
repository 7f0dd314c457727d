"""Lists that go on and lists that do not repeat, over real processes: a version, a load balancer, the reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from core.clock import SystemClock
from core.errors import InvalidInputError
from inference.profiles import shown_requests
from ingest.settings import IngestSettings
from ingest.wiring import build_reader
from storage.connect import open_serving_store
from tests.serving import Running, Stage, http_get, open_stage
from tests.small_model import publish_small
from tests.support import wait_until
from understudy.client import Client, Recommendation


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("pages")) as stage:
        publish_small(stage.platform.bundles, "v1")
        stage.publish(stage.inference("v1"))
        stage.balancer()
        stop = threading.Event()
        process = build_reader(IngestSettings.load(), stage.platform, stop)
        thread = threading.Thread(target=process.reader.run)
        thread.start()
        yield stage
        stop.set()
        thread.join(20)
        process.close()


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    client = Client(stage.running[1].url)
    yield client
    client.close()


def ids(*lists: Recommendation) -> list[str]:
    return [item.video_id for found in lists for item in found.items]


def wait_for_reader(stage: Stage, user_id: str, request_id: str) -> None:
    """Until the reader has written what this request showed."""
    store = open_serving_store(stage.platform, SystemClock())
    wait_until(
        lambda: request_id in {request.request_id for request in shown_requests(store, user_id)},
        30,
        "the reader's document",
    )
    store.close()


def test_pages_show_everything_once_and_end(stage: Stage, client: Client) -> None:
    pages = list(client.pages("u00", count=5))
    whole = client.recommend("u00", count=100)
    assert len(ids(*pages)) == len(set(ids(*pages))) == len(whole.items) > 10
    assert ids(pages[0]) == ids(whole)[:5]
    wait_until(
        lambda: len({e.request_id for e in stage.exposures()} & {p.request_id for p in pages}) == len(pages),
        10,
    )


def test_a_page_is_of_the_viewer_who_had_the_one_before(client: Client) -> None:
    first = client.recommend("u01", count=3)
    for user_id, after in (("u02", first.request_id), ("u01", "0" * 32)):
        with pytest.raises(InvalidInputError, match="not known"):
            client.recommend(user_id, count=3, after=after)


def test_fresh_lists_do_not_begin_with_what_was_just_shown(stage: Stage, client: Client) -> None:
    first = client.recommend("u03", count=5)
    assert ids(client.recommend("u03", count=5)) == ids(first)
    wait_for_reader(stage, "u03", first.request_id)
    fresh = client.recommend("u03", count=5, fresh=True)
    assert not set(ids(fresh)) & set(ids(first))
    assert not fresh.degraded


def test_pages_go_on_after_the_version_was_started_again(stage: Stage, client: Client) -> None:
    first = client.recommend("u05", count=5)
    second = client.recommend("u05", count=5, after=first.request_id)
    wait_for_reader(stage, "u05", second.request_id)
    again: Running = stage.inference("v1")
    stage.publish(again)
    wait_until(lambda: client.recommend("u06").arm == "main" and _asked(again), 20, "the new plan")
    third = client.recommend("u05", count=3, after=second.request_id)
    assert not set(ids(first, second)) & set(ids(third))


def _asked(service: Running) -> bool:
    return (
        'understudy_inference_total{outcome="ok"} 0.0' not in http_get(f"{service.url}/metrics").data.decode()
    )
