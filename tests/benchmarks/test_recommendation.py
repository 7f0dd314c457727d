"""What one recommendation costs: 27,000 videos, 50 watched, a ranker, one core."""

from __future__ import annotations

from dataclasses import replace
from time import thread_time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from core.clock import DAY
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context, Request, allowed_rows
from inference.recommender.features import NAMES
from inference.recommender.learned import MOST, shortlist
from inference.recommender.profile import profile_of
from inference.recommender.ranker import Ranker
from inference.recommender.recommend import Recommender
from tests.small_model import START_MS
from training.dataset import Dataset, Videos
from training.fit import Vectors, fit
from training.ranker import Examples, train_ranker
from training.recipes import RANKED

VIDEOS, VIEWERS, INTERACTIONS, WATCHED = 27_000, 20_000, 600_000, 50
ASKED = 200
MEDIAN_MS, P99_MS = 5.0, 12.0


def world() -> Dataset:
    """Popularity falls with the cube; two days' worth of times a viewer, half a year in all."""
    random = np.random.default_rng(0)
    viewer = random.integers(0, VIEWERS, INTERACTIONS).astype(np.int32)
    video = (VIDEOS * random.random(INTERACTIONS) ** 3).astype(np.int32)
    _, first = np.unique(viewer.astype(np.int64) * VIDEOS + video, return_index=True)
    at_ms = np.sort(START_MS + (random.random(len(first)) * 180 * DAY).astype(np.int64))
    genres = tuple(tuple(f"g{g}" for g in random.choice(20, 3, replace=False)) for _ in range(VIDEOS))
    none = ("",) * VIDEOS
    ids = tuple(f"v{n}" for n in range(VIDEOS))
    videos = Videos(ids, none, (None,) * VIDEOS, genres, none, (-1,) * VIDEOS)
    value = random.normal(3, 1, len(first)).astype(np.float32)
    viewers = tuple(f"u{n}" for n in range(VIEWERS))
    return Dataset(viewers, videos, viewer[first], video[first], at_ms, value)


def ranker() -> Ranker:
    """As many trees and leaves as a trained one, over noise."""
    random = np.random.default_rng(1)
    features = random.normal(size=(200 * 100, len(NAMES))).astype(np.float32)
    labels = random.random(len(features)) < 0.05
    settings = RANKED.ranker
    assert settings is not None
    text = train_ranker([Examples(features, labels, np.full(200, 100))], settings)
    assert text is not None
    return Ranker(text)


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    recipe = replace(RANKED, als=replace(RANKED.als, iterations=1))
    vectors = np.random.default_rng(2).normal(size=(VIDEOS, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nothing = np.full((VIDEOS, 1), -1, np.int32), np.zeros((VIDEOS, 1), np.float32)
    dataset = world()
    with threadpool_limits(limits=1, user_api="blas"):
        made = fit(dataset, Vectors("noise", "noise", vectors, *nothing), recipe, dataset.newest_ms)
        return replace(made, ranker=ranker())


def test_a_recommendation_takes_milliseconds(model: ModelBundle) -> None:
    random = np.random.default_rng(3)
    for diverse in (False, True):
        recommender, times, sizes = Recommender(model, diverse=diverse), [], []
        recommender.moment(None, model.as_of_ms)
        with threadpool_limits(limits=1, user_api="blas"):
            for number in range(ASKED):
                rows = random.choice(VIDEOS, WATCHED, replace=False, p=_popularity(model))
                watched = [
                    [f"v{row}", model.as_of_ms - DAY + place, None] for place, row in enumerate(rows.tolist())
                ]
                request = Request(f"new{number}", 20)
                began = thread_time()
                answer = recommender.recommend(request, {"watched": watched}, None, model.as_of_ms)
                times.append(1000 * (thread_time() - began))
                assert len(answer.items) == 20
                sizes.append(_candidates(recommender, request, watched))
        median, p99 = np.quantile(times, [0.5, 0.99])
        print(f"diverse {diverse}: {median:.2f} ms, p99 {p99:.2f} ms, {max(sizes)} candidates at most")
        assert median < MEDIAN_MS
        assert p99 < P99_MS
        assert max(sizes) <= MOST


def _popularity(model: ModelBundle) -> np.ndarray:
    counts = np.asarray(model.trends.popularity, np.float64)
    return counts / counts.sum()


def _candidates(recommender: Recommender, request: Request, watched: list[list[object]]) -> int:
    model = recommender.model
    profile = profile_of(model, request.user_id, {"watched": watched})
    moment = recommender.moment(None, model.as_of_ms)
    allowed = allowed_rows(model, request, profile)
    return len(shortlist(model, moment, Context(profile, model.as_of_ms), allowed).rows)
