"""Videos that came after the bundle was built, from the catalogue of the serving store to the end of a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.clock import DAY, ManualClock
from core.errors import DependencyError
from inference.arrivals import ArrivalWatch, Vector
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommendation, Recommender
from storage.serving_store import VIDEO_CATALOG, Document
from storage.serving_store_sqlite import SqliteServingStore
from tests.small_model import RANKED_SMALL, HashEncoder, small_model


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    found = small_model(RANKED_SMALL)
    return replace(found, blend=msgspec.structs.replace(found.blend, cold_share=0.2))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteServingStore]:
    store = SqliteServingStore(tmp_path / "store.db", ManualClock(0))
    yield store
    store.close()


def video(genre: str, day: int = 0) -> Document:
    return {"title": f"{genre} {genre} {genre}", "year": 1999, "genres": [genre], "added_ms": day * DAY}


def watch(store: SqliteServingStore, model: ModelBundle, **videos: Document) -> ArrivalWatch:
    store.put_many(VIDEO_CATALOG, {**videos, model.catalogue.video_ids[0]: video("Comedy")})
    encoder = HashEncoder()

    def encode(text: str) -> Vector:
        vector: Vector = encoder.encode([text])[0]
        return vector

    found = ArrivalWatch(store, model, encode)
    found.refresh()
    return found


def ask(
    model: ModelBundle,
    arrived: ArrivalWatch,
    user_id: str = "u00",
    watched: tuple[str, ...] = (),
    *,
    diverse: bool = True,
    **asked: Any,
) -> Recommendation:
    document = {"watched": [[video_id, model.as_of_ms, None, None] for video_id in watched]}
    request = Request(user_id, **{"count": 5, **asked})
    recommender = Recommender(model, diverse=diverse)
    return recommender.recommend(request, document, None, model.as_of_ms, arrived.current)


def last(answer: Recommendation) -> str:
    assert len({item.video_id for item in answer.items}) == len(answer.items) == 5
    return answer.items[-1].video_id


def test_only_what_the_bundle_lacks_has_arrived_the_newest_first(
    store: SqliteServingStore, model: ModelBundle
) -> None:
    found = watch(store, model, old=video("Comedy", 1), new=video("Horror", 2)).current
    assert found.video_ids == ("new", "old")
    assert found.genres == ({"horror"}, {"comedy"})
    assert found.vectors.shape == (2, model.embeddings.shape[1])


def test_the_last_place_goes_to_the_arrival_that_is_closest_to_the_taste(
    store: SqliteServingStore, model: ModelBundle
) -> None:
    arrived = watch(store, model, funny=video("Comedy", 1), eerie=video("Horror", 2))
    assert last(ask(model, arrived)) == "funny"
    assert last(ask(model, arrived, "u01")) == "eerie"
    assert last(ask(model, arrived, "nobody")) == "eerie", "the newest for a stranger"
    assert ask(model, arrived).items[-1].sources == ("arrival",)


def test_the_viewers_and_the_requests_wishes_hold_for_arrivals_too(
    store: SqliteServingStore, model: ModelBundle
) -> None:
    arrived = watch(store, model, funny=video("Comedy", 1), eerie=video("Horror", 2))
    assert last(ask(model, arrived, exclude=("funny",))) == "eerie"
    assert last(ask(model, arrived, watched=("funny",))) == "eerie"
    assert last(ask(model, arrived, context_video="funny")) == "eerie"
    assert last(ask(model, arrived, genre="HORROR")) == "eerie"
    assert ask(model, arrived, exclude=("funny", "eerie")).items[-1].sources != ("arrival",)


def test_an_evaluation_asks_for_the_rankers_own_order(store: SqliteServingStore, model: ModelBundle) -> None:
    arrived = watch(store, model, funny=video("Comedy"))
    assert last(ask(model, arrived, diverse=False)) != "funny"


def test_a_text_is_encoded_once_and_only_the_newest_are_kept(
    store: SqliteServingStore, model: ModelBundle
) -> None:
    asked: list[str] = []
    encoder = HashEncoder()

    def encode(text: str) -> Vector:
        asked.append(text)
        vector: Vector = encoder.encode([text])[0]
        return vector

    found = ArrivalWatch(store, model, encode, most=2)
    store.put_many(VIDEO_CATALOG, {f"n{day}": video(f"Kind{day}", day) for day in range(3)})
    found.refresh()
    found.refresh()
    assert found.current.video_ids == ("n2", "n1")
    assert len(asked) == 2


def test_without_an_encoder_nothing_has_arrived(store: SqliteServingStore, model: ModelBundle) -> None:
    def refuse(text: str) -> Vector:
        raise DependencyError("no encoder")

    found = ArrivalWatch(store, model, refuse)
    found.refresh()
    store.put_many(VIDEO_CATALOG, {"new": video("Comedy")})
    with pytest.raises(DependencyError):
        found.refresh()
    assert found.current.video_ids == ()
