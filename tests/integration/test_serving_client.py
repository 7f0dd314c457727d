"""The Python client against a real load balancer: typed answers, and the errors of the one hierarchy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.errors import DependencyError, InvalidInputError
from tests.fake_arm import requests_seen, set_mode
from tests.serving import Stage, open_stage
from tests.support import free_port
from understudy.client import Client, Found, Item

EVENT = {
    "event_id": "e1",
    "user_id": "u1",
    "video_id": "m1",
    "event_type": "view",
    "details": {"source": "home"},
    "timestamp": "2020-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("client")) as stage:
        stage.publish(stage.arm("v1"))
        stage.balancer()
        yield stage


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    client = Client(stage.running[1].url)
    yield client
    client.close()


def test_a_recommendation(client: Client) -> None:
    found = client.recommend(
        "u1", count=2, exclude=["v1-0"], genre="Film-Noir & more", context_video="m9", explain=True
    )
    assert (found.user_id, found.arm, found.version, found.degraded) == ("u1", "main", "v1", False)
    assert found.items == (
        Item(video_id="v1-1", score=1.0, sources=("fake",)),
        Item(video_id="v1-2", score=0.5, sources=("fake",)),
    )
    assert len(found.request_id) == 32


def test_events_and_a_receipt(client: Client) -> None:
    receipt = client.post_events([EVENT, {**EVENT, "user_id": ""}])
    assert receipt.accepted == 1
    assert [(one.index, one.reason) for one in receipt.rejected] == [(1, "id")]


def test_pages_name_the_request_before(stage: Stage, client: Client) -> None:
    pages = client.pages("pager", count=2, exclude=["v1-0"], genre="noir", fresh=True)
    first, _ = next(pages), next(pages)
    asked = [head.split(" ")[1] for head in requests_seen(stage.running[0].url) if "/pager?" in head]
    common = "/recommend/pager?count=2&exclude=v1-0&genre=noir"
    assert asked == [f"{common}&fresh=1", f"{common}&after={first.request_id}&fresh=1"]


def test_lists_of_no_viewer(client: Client) -> None:
    for listing in (
        client.similar("m1", count=2, exclude=["v1-0"]),
        client.search("film noir & more", count=2, exclude=["v1-0"]),
        client.trending(count=2, exclude=["v1-0"], genre="noir"),
    ):
        assert (listing.arm, listing.version, listing.degraded) == ("main", "v1", False)
        assert listing.items == (Found(video_id="v1-1", score=1.0), Found(video_id="v1-2", score=0.5))
    with pytest.raises(InvalidInputError, match="printable"):
        client.search("")


@pytest.mark.parametrize("user_id", ["", "a/b", "../events", "u?count=1", "ü", "@evil.example"])
def test_what_is_refused_is_invalid_input_and_says_why(client: Client, user_id: str) -> None:
    with pytest.raises(InvalidInputError, match="user_id"):
        client.recommend(user_id)


def test_a_count_that_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInputError, match="count"):
        client.recommend("u1", count=101)
    with pytest.raises(InvalidInputError, match="from 1 to 500"):
        client.post_events([])


def test_503_is_a_dependency_that_may_come_back(stage: Stage, client: Client) -> None:
    arm = stage.running[0].url
    set_mode(arm, "error500")
    with pytest.raises(DependencyError, match="503"):
        client.recommend("u1")
    set_mode(arm, "ok")
    assert client.recommend("u1").arm == "main"


def test_ready_and_not_there(client: Client) -> None:
    assert client.ready()
    nobody = Client(f"http://127.0.0.1:{free_port()}", timeout_s=1)
    assert not nobody.ready()
    with pytest.raises(DependencyError):
        nobody.recommend("u1")
