"""What was shown lately comes later, whatever made the list; what was never shown keeps its order."""

from __future__ import annotations

import pytest

from core.clock import DAY
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Request
from inference.recommender.recommend import Item, Recommender
from tests.small_model import ALL_SOURCES, RANKED_SMALL, START_MS, small_model

NOW = START_MS + 30 * DAY


@pytest.fixture(scope="module", params=[ALL_SOURCES, RANKED_SMALL], ids=["blend", "ranker"])
def model(request: pytest.FixtureRequest) -> ModelBundle:
    return small_model(request.param)


@pytest.fixture(params=[False, True], ids=["as ranked", "mixed"])
def recommender(request: pytest.FixtureRequest, model: ModelBundle) -> Recommender:
    return Recommender(model, diverse=request.param)


def ask(recommender: Recommender, count: int, **sinking: float) -> list[Item]:
    return list(recommender.recommend(Request("u00", count, sinking=sinking), None, None, NOW).items)


def ids(items: list[Item]) -> list[str]:
    return [item.video_id for item in items]


def test_what_was_shown_just_now_gives_way(recommender: Recommender) -> None:
    first = ids(ask(recommender, 2))
    assert not set(first) & set(ids(ask(recommender, 2, **dict.fromkeys(first, 1.0))))


def test_it_is_only_later_not_gone(recommender: Recommender) -> None:
    everything = ids(ask(recommender, 40))
    again = ids(ask(recommender, 40, **dict.fromkeys(everything[:3], 1.0)))
    assert sorted(again) == sorted(everything)


def test_what_was_shown_long_ago_stands_where_it_was(recommender: Recommender) -> None:
    first = ids(ask(recommender, 5))
    assert ids(ask(recommender, 5, **dict.fromkeys(first, 0.001))) == first


def test_every_video_keeps_its_own_score(recommender: Recommender) -> None:
    own = {item.video_id: item.score for item in ask(recommender, 5)}
    for item in ask(recommender, 5, **{next(iter(own)): 0.01}):
        assert own.get(item.video_id, item.score) == pytest.approx(item.score)


def test_what_the_bundle_does_not_know_changes_nothing(recommender: Recommender) -> None:
    assert ask(recommender, 5, **{"no-such-video": 3.0}) == ask(recommender, 5)
