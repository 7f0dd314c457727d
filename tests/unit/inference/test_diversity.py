"""Places by diversity, and places for cold videos."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context, Request, allowed_rows
from inference.recommender.diversity import closest_cold, marginal_relevance, with_cold, within_reach
from inference.recommender.profile import profile_of
from inference.recommender.recommend import Item, Recommender
from inference.recommender.sources import content
from tests.small_model import START_MS, small_model


@pytest.fixture(scope="module")
def hardly_watched() -> ModelBundle:
    """What u02 has not watched is cold, and the only source, trending, does not propose it."""
    model = small_model()
    popular = np.zeros(len(model.catalogue), np.float32)
    popular[profile_of(model, "u02", None).rows] = 100
    trends = replace(model.trends, popularity=popular, scores=model.trends.scores * (popular > 0))
    blend = msgspec.structs.replace(model.blend, sources={"trending": 1.0}, cold_share=0.2)
    return replace(model, trends=trends, blend=blend)


def cold_for(model: ModelBundle, user_id: str, count: int, listed: list[int]) -> list[int]:
    profile = profile_of(model, user_id, None)
    allowed = allowed_rows(model, Request(user_id), profile)
    context = Context(profile, START_MS)
    return closest_cold(model, context, allowed, np.array(listed, np.int32), count).tolist()


def test_cold_videos_that_nobody_proposed_come_by_their_texts(hardly_watched: ModelBundle) -> None:
    scores = content.scores(hardly_watched, Context(profile_of(hardly_watched, "u02", None), START_MS))
    assert scores is not None
    found = cold_for(hardly_watched, "u02", 10, [])
    assert len(found) == 2
    assert all(row % 2 == 0 for row in found)
    unwatched = hardly_watched.trends.popularity == 0
    assert scores.of(found).tolist() == np.sort(scores.values[unwatched])[::-1][:2].tolist()
    assert cold_for(hardly_watched, "u02", 10, found[:1]) == found[1:]
    assert cold_for(hardly_watched, "u02", 10, found) == []
    assert cold_for(hardly_watched, "u02", 4, []) == []
    assert cold_for(hardly_watched, "nobody", 10, []) == []


def test_served_lists_have_their_cold_videos_and_evaluated_ones_do_not(hardly_watched: ModelBundle) -> None:
    def ask(*, diverse: bool) -> tuple[Item, ...]:
        recommender = Recommender(hardly_watched, diverse=diverse)
        return recommender.recommend(Request("u00", 5), None, None, START_MS).items

    def cold(items: tuple[Item, ...]) -> list[Item]:
        row_of, popularity = hardly_watched.catalogue.row_of, hardly_watched.trends.popularity
        return [item for item in items if popularity[row_of[item.video_id]] == 0]

    served, evaluated = ask(diverse=True), ask(diverse=False)
    assert [item.sources for item in cold(served)[:1]] == [("cold",)]
    assert ("cold",) not in {item.sources for item in evaluated}
    assert len(served) == len(evaluated) == 5


def test_diversity_takes_the_next_of_another_kind() -> None:
    scores = np.array([1.0, 0.9, 0.8, 0.0], np.float32)
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert marginal_relevance(scores, vectors, 0.0, 3).tolist() == [0, 1, 2]
    assert marginal_relevance(scores, vectors, 0.5, 3).tolist() == [0, 2, 1]


@given(
    arrays(np.float32, st.integers(2, 40), elements=st.floats(0, 1, width=32)),
    st.integers(1, 10),
    st.floats(0.0, 1.0, width=32),
    st.integers(0, 99),
)
def test_what_is_out_of_reach_is_never_chosen(
    relevance: np.ndarray, count: int, weight: float, seed: int
) -> None:
    count = min(count, len(relevance))
    vectors = np.random.default_rng(seed).normal(size=(len(relevance), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = within_reach(relevance, weight, count)
    chosen = near[marginal_relevance(relevance[near], vectors[near], weight, count)]
    assert chosen.tolist() == marginal_relevance(relevance, vectors, weight, count).tolist()


def test_cold_videos_get_their_places_from_the_end() -> None:
    cold = np.array([False, False, False, True, True, False])
    assert with_cold(np.array([0, 1, 2], np.int32), cold, 1).tolist() == [0, 1, 3]
    assert with_cold(np.array([0, 1, 2], np.int32), cold, 2).tolist() == [0, 3, 4]
    assert with_cold(np.array([0, 3], np.int32), cold, 1).tolist() == [0, 3]
    assert with_cold(np.array([0, 1], np.int32), np.zeros(2, np.bool_), 1).tolist() == [0, 1]
