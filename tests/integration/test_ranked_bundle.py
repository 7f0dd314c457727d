"""A bundle with a ranker, trained by LightGBM: the same promises as a blend, live events count at once, every
score is explained.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY, MINUTE
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context, Request, allowed_rows
from inference.recommender.features import NAMES, PERSONAL, VIDEO, Watched, matrix, monotone
from inference.recommender.learned import MOST, shortlist
from inference.recommender.moment import CHARTS, make_moment
from inference.recommender.profile import profile_of
from inference.recommender.recommend import Recommendation, Recommender
from inference.recommender.sources import SOURCES
from tests.small_model import RANKED_SMALL, VIDEOS, small_model


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    return small_model(RANKED_SMALL)


def ask(
    model: ModelBundle, user_id: str, document: dict[str, Any] | None = None, **asked: Any
) -> Recommendation:
    return Recommender(model).recommend(Request(user_id, **asked), document, None, model.as_of_ms + DAY)


def shown(answer: Recommendation) -> list[str]:
    return [item.video_id for item in answer.items]


def watched(model: ModelBundle, *videos: str) -> dict[str, Any]:
    return {"watched": [[video, model.as_of_ms + n, None, None] for n, video in enumerate(videos)]}


def test_there_is_a_ranker_and_it_finds_the_taste(model: ModelBundle) -> None:
    assert model.ranker is not None
    for viewer in range(4):
        assert all(int(video[1:]) % 2 == viewer % 2 for video in shown(ask(model, f"u{viewer:02}", count=4)))


@given(
    st.sets(st.integers(0, VIDEOS - 1)),
    st.sets(st.integers(0, VIDEOS - 1)),
    st.sampled_from([None, "comedy"]),
    st.integers(1, 40),
    st.booleans(),
)
def test_filters_hold_for_every_request(
    model: ModelBundle, live: set[int], excluded: set[int], genre: str | None, count: int, diverse: bool
) -> None:
    mixed = replace(model, blend=msgspec.structs.replace(model.blend, diversity=0.5, cold_share=0.2))
    request = Request("new", count, tuple(f"m{v:02}" for v in excluded), genre)
    document = watched(model, *(f"m{v:02}" for v in live))
    answer = Recommender(mixed, diverse=diverse).recommend(request, document, None, model.as_of_ms)
    allowed = set(range(VIDEOS)) - live - excluded
    if genre is not None:
        allowed = {v for v in allowed if v % 2 == 0}
    rows = [int(video[1:]) for video in shown(answer)]
    assert set(rows) <= allowed
    assert len(rows) == len(set(rows)) == min(count, len(allowed))


def test_a_viewer_without_history_gets_an_answer(model: ModelBundle) -> None:
    answer = ask(model, "nobody", count=5)
    assert answer.cold
    assert len(answer.items) == 5
    led = ask(model, "nobody", count=3, context_video="m07")
    assert all(int(video[1:]) % 2 == 1 for video in shown(led))


def test_the_features_are_as_many_as_their_names(model: ModelBundle) -> None:
    assert len(set(NAMES)) == len(NAMES) == len(monotone())
    assert set(PERSONAL) <= SOURCES.keys()
    assert model.signals is not None
    moment = make_moment(model, model.signals, None, model.as_of_ms)
    assert moment.videos.table.shape == (VIDEOS, len(VIDEO))
    assert moment.charts.keys() == CHARTS.keys()
    profile = profile_of(model, "u00", None)
    found = shortlist(
        model, moment, Context(profile, model.as_of_ms), allowed_rows(model, Request("u00"), profile)
    )
    assert found.features.shape == (len(found.rows), len(NAMES))
    assert len(found.rows) <= MOST
    assert not np.isin(profile.rows, found.rows).any()
    never = {name for name in NAMES if name.endswith("_age") or name in {"novelty_gap"}}
    known = [name not in never for name in NAMES]
    assert np.isfinite(found.features[:, known]).all(), "only what never happened has no number"


def test_features_do_not_mind_videos_that_nobody_watched(model: ModelBundle) -> None:
    assert model.signals is not None
    moment = make_moment(model, model.signals, None, model.as_of_ms)
    moment.videos.table[:] = np.nan
    one = Watched(np.array([0], np.int32), np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert matrix(moment.videos, one, np.array([1], np.int32), np.zeros((len(PERSONAL), 1), np.float32)).shape


def test_what_is_watched_live_changes_history_factors_and_the_list(model: ModelBundle) -> None:
    """Without a rebuild: the profile document alone."""
    top = shown(ask(model, "u00", count=1))[0]
    assert top not in shown(ask(model, "u00", watched(model, top), count=30))
    now = model.as_of_ms + DAY
    before, after = (
        Context(profile_of(model, "u00", document), now)
        for document in (None, watched(model, "m01", "m03", "m05", "m07"))
    )
    for name in ("als", "als_recent", "ease_now", "near_ever"):
        first, then = SOURCES[name].scores(model, before), SOURCES[name].scores(model, after)
        assert first is not None
        assert then is not None
        odd = np.arange(1, VIDEOS, 2, dtype=np.int32)
        assert then.of(odd).mean() > first.of(odd).mean()


def test_what_is_watched_right_now_climbs_the_charts(model: ModelBundle) -> None:
    recommender, now = Recommender(model), model.as_of_ms + 5 * MINUTE
    live = recommender.live_trending({"m29": 500.0, "gone": 3.0}, now)
    assert live.moment is not None
    assert recommender.moment(live, now) is live.moment
    assert all(chart[0] == 29 for chart in live.moment.charts.values())
    calm = recommender.moment(None, now)
    share = NAMES.index("share_0.1d")
    assert live.moment.videos.table[29, share] > calm.videos.table[29, share]


def test_videos_features_are_made_once_a_minute(model: ModelBundle) -> None:
    recommender = Recommender(model)
    first = recommender.moment(None, model.as_of_ms)
    assert recommender.moment(None, model.as_of_ms + MINUTE - 1) is first
    assert recommender.moment(None, model.as_of_ms + MINUTE) is not first


def test_explained_parts_add_up_to_the_score(model: ModelBundle) -> None:
    answer = ask(model, "u00", count=5, explain=True)
    for item in answer.items:
        assert sum(item.parts.values()) == pytest.approx(item.score, abs=1e-4)
        assert item.sources
    assert [item.score for item in answer.items] == sorted((i.score for i in answer.items), reverse=True)


def test_an_absent_video_is_told_why(model: ModelBundle) -> None:
    history = [model.catalogue.video_ids[row] for row in profile_of(model, "u00", None).rows]

    def fate(video: str, **asked: Any) -> str:
        return str(ask(model, "u00", explain_video=video, **asked).fate)

    top, second = shown(ask(model, "u00", count=2))
    assert fate(top) == "shown: at place 1"
    assert fate(history[0]).startswith("watched")
    assert fate("m99").startswith("unknown")
    assert fate(top, exclude=(top,)).startswith("excluded")
    assert fate(top, context_video=top).startswith("excluded")
    other = next(v for v in model.catalogue.video_ids if v not in history and int(v[1:]) % 2)
    assert fate(other, genre="comedy").startswith("filtered")
    assert fate(second, count=1).startswith("ranked: proposed by")
    assert ask(model, "u00").fate is None
