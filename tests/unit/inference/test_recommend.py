"""What a viewer is shown: never what was watched, excluded or of another genre; live events count at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY
from core.errors import InvalidInputError
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommendation, Recommender
from tests.small_model import START_MS, VIDEOS, small_model
from training.recipes import BLEND, CONTENT, Recipe

NOW = START_MS + 30 * DAY
SMALL_BLEND = replace(BLEND, als=replace(BLEND.als, factors=8, regularization=0.1, threads=1))


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    return small_model(SMALL_BLEND)


def ask(
    model: ModelBundle, user_id: str, document: dict[str, Any] | None = None, **asked: Any
) -> Recommendation:
    return Recommender(model).recommend(Request(user_id, **asked), document, None, NOW)


def shown(answer: Recommendation) -> list[str]:
    return [item.video_id for item in answer.items]


def watched_by(model: ModelBundle, user_id: str) -> set[str]:
    histories = model.histories
    row = histories.viewer_row[user_id]
    rows = histories.videos[histories.indptr[row] : histories.indptr[row + 1]]
    return {model.catalogue.video_ids[r] for r in rows}


def profile(*watched: tuple[str, int]) -> dict[str, Any]:
    return {"watched": [[video, at, None, None] for video, at in watched], "offsets": {}}


@pytest.mark.parametrize("recipe", [SMALL_BLEND, replace(CONTENT, neighbours=5)], ids=["blend", "content"])
def test_a_viewer_is_shown_its_own_taste(recipe: Recipe) -> None:
    model = small_model(recipe)
    for viewer in range(6):
        places = [int(video[1:]) for video in shown(ask(model, f"u{viewer:02}", count=4))]
        assert all(place % 2 == viewer % 2 for place in places)


def test_nothing_watched_is_shown_however_long_the_list(model: ModelBundle) -> None:
    answer = ask(model, "u00", count=500)
    assert set(shown(answer)) == set(model.catalogue.video_ids) - watched_by(model, "u00")
    assert len(set(shown(answer))) == len(shown(answer))


@given(
    st.sets(st.integers(0, VIDEOS - 1)),
    st.sets(st.integers(0, VIDEOS - 1)),
    st.sampled_from([None, "comedy", "HORROR"]),
    st.integers(1, 40),
)
def test_filters_hold_for_every_request(
    model: ModelBundle, live: set[int], excluded: set[int], genre: str | None, count: int
) -> None:
    document = profile(*((f"m{v:02}", NOW) for v in live))
    answer = ask(
        model, "new", document, exclude=tuple(f"m{v:02}" for v in excluded), genre=genre, count=count
    )
    allowed = set(range(VIDEOS)) - live - excluded
    if genre is not None:
        allowed = {v for v in allowed if v % 2 == (0 if genre == "comedy" else 1)}
    rows = [int(video[1:]) for video in shown(answer)]
    assert set(rows) <= allowed
    assert len(rows) == len(set(rows)) == min(count, len(allowed))


def test_the_list_is_in_order_of_its_scores(model: ModelBundle) -> None:
    scores = [item.score for item in ask(model, "u03", count=30).items]
    assert scores == sorted(scores, reverse=True)


def test_an_unknown_viewer_gets_what_is_trending(model: ModelBundle) -> None:
    answer = ask(model, "nobody", count=5)
    assert answer.cold
    assert all("trending" in item.sources for item in answer.items)
    assert not ask(model, "u00").cold
    content_only = ask(small_model(CONTENT), "nobody", count=5)
    assert all(item.sources == ("trending",) for item in content_only.items)


def test_a_context_video_leads_a_cold_viewer(model: ModelBundle) -> None:
    answer = ask(model, "nobody", count=3, context_video="m07")
    assert all(int(video[1:]) % 2 == 1 for video in shown(answer))
    assert "m07" not in shown(ask(model, "nobody", count=500, context_video="m07"))
    assert len(ask(model, "nobody", count=5, context_video="newer than this bundle").items) == 5


def test_what_is_watched_live_changes_the_next_answer(model: ModelBundle) -> None:
    first = ask(model, "u00", count=3)
    top = shown(first)[0]
    assert top not in shown(ask(model, "u00", profile((top, NOW)), count=500))


def test_a_viewer_the_bundle_does_not_know_is_folded_in(model: ModelBundle) -> None:
    answer = ask(model, "new", profile(("m01", NOW - 3), ("m03", NOW - 2), ("m05", NOW - 1)), count=5)
    assert not answer.cold
    assert all(int(video[1:]) % 2 == 1 for video in shown(answer))
    assert any("als" in item.sources for item in answer.items)


def test_a_profile_of_unknown_videos_is_no_profile(model: ModelBundle) -> None:
    strange = profile(("not in this bundle", NOW))
    assert ask(model, "nobody", strange) == ask(model, "nobody")
    assert ask(model, "u00", {"watched": []}) == ask(model, "u00")


def test_what_is_watched_right_now_trends() -> None:
    model = small_model(Recipe("trending", {"trending": 1.0}))
    recommender = Recommender(model)
    live = recommender.live_trending({"m29": 50.0, "gone": 3.0})
    answer = recommender.recommend(Request("nobody", 3), None, live, NOW)
    assert shown(answer)[0] == "m29"


def test_an_unknown_genre_names_the_nearest(model: ModelBundle) -> None:
    with pytest.raises(InvalidInputError, match="'comdy' is unknown; did you mean comedy"):
        ask(model, "u00", genre="comdy")


@pytest.mark.parametrize("count", [0, -1, 501])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(InvalidInputError, match="count"):
        Request("u00", count)


def test_explained_parts_add_up_to_the_score(model: ModelBundle) -> None:
    for item in ask(model, "u00", count=10, explain=True).items:
        assert sum(item.parts.values()) == pytest.approx(item.score, abs=1e-5)
        assert set(item.sources) <= {*item.parts, "popularity"}
    assert all(not item.parts for item in ask(model, "u00").items)


def test_the_broken_build_is_the_whole_catalogue_upside_down(model: ModelBundle) -> None:
    broken = replace(model, blend=msgspec.structs.replace(model.blend, descending=False))
    answer = ask(broken, "u00", count=5)
    assert all(int(video[1:]) % 2 == 1 for video in shown(answer))
    assert not set(shown(answer)) & set(shown(ask(model, "u00", count=5)))


def test_the_same_question_has_the_same_answer(model: ModelBundle) -> None:
    assert ask(model, "u05", explain=True) == ask(model, "u05", explain=True)


def test_values_that_are_missing_do_not_matter(model: ModelBundle) -> None:
    with_none: dict[str, Any] = {"watched": [["m01", NOW, None, None]]}
    with_value: dict[str, Any] = {"watched": [["m01", NOW, 4.0, 0.9]]}
    assert ask(model, "new", with_none) == ask(model, "new", with_value)
    assert np.isfinite([item.score for item in ask(model, "new", with_none).items]).all()
