"""Every candidate source keeps the same promise, whatever the viewer's history is."""

from __future__ import annotations

import numpy as np
import pytest

from core.clock import DAY
from inference.recommender.blend import SOURCE_NAMES
from inference.recommender.bundle import F32, ModelBundle
from inference.recommender.context import Context
from inference.recommender.features import PERSONAL as LEARNED
from inference.recommender.profile import profile_of
from inference.recommender.sources import SOURCES
from inference.recommender.sources.als import fold_in
from tests.small_model import RANKED_SMALL, TOWERS_SMALL, VIDEOS, small_model

PERSONAL = sorted({"content", "als", "covisitation", "towers", *LEARNED})
AGAINST = {"als", "als_recent", "ease", "ease_now", "towers"}
"""Sources whose scores may speak against a video."""


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    return small_model(TOWERS_SMALL)


@pytest.fixture(params=sorted(SOURCES))
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def scores(model: ModelBundle, source: str, user_id: str, watched: tuple[str, ...] = ()) -> F32 | None:
    document = {"watched": [[video, model.as_of_ms, None, None] for video in watched]} if watched else None
    context = Context(profile_of(model, user_id, document), model.as_of_ms + DAY)
    found = SOURCES[source].scores(model, context)
    return None if found is None else found.of(np.arange(len(model.catalogue), dtype=np.int32))


def test_a_blend_may_name_every_source() -> None:
    assert set(SOURCES) == SOURCE_NAMES


@pytest.mark.parametrize(
    ("user_id", "watched"),
    [
        ("u00", ()),
        ("u00", ("m01", "m02")),
        ("nobody", ()),
        ("nobody", ("m07",)),
        ("nobody", tuple(f"m{n:02}" for n in range(VIDEOS))),
    ],
    ids=["known", "known and fresh", "unknown", "one video", "everything watched"],
)
def test_scores_are_finite_and_negative_only_where_they_may_be(
    model: ModelBundle, source: str, user_id: str, watched: tuple[str, ...]
) -> None:
    found = scores(model, source, user_id, watched)
    if found is not None:
        assert found.shape == (VIDEOS,)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert (found >= 0).all() or source in AGAINST


def test_the_same_question_has_the_same_answer_and_changes_nothing(model: ModelBundle, source: str) -> None:
    first = scores(model, source, "u02")
    kept = None if first is None else first.copy()
    np.testing.assert_equal(scores(model, source, "u02"), kept)


@pytest.mark.parametrize("source", PERSONAL)
def test_personal_sources_find_the_viewers_taste(model: ModelBundle, source: str) -> None:
    for viewer in range(4):
        found = scores(model, source, f"u{viewer:02}")
        assert found is not None
        best = np.argsort(-found)[:5]
        assert (best % 2 == viewer % 2).all()


@pytest.mark.parametrize("source", PERSONAL)
def test_personal_sources_have_nothing_to_say_of_a_stranger(model: ModelBundle, source: str) -> None:
    assert scores(model, source, "nobody") is None


def test_towers_have_nothing_to_say_where_there_are_none() -> None:
    assert scores(small_model(RANKED_SMALL), "towers", "u00") is None


@pytest.mark.parametrize("source", sorted(set(SOURCES) - set(PERSONAL)))
def test_general_sources_answer_everybody(model: ModelBundle, source: str) -> None:
    found = scores(model, source, "nobody")
    assert found is not None
    assert (found > 0).any()


def test_a_folded_in_viewer_is_close_to_the_trained_one() -> None:
    """Training ends with the videos' step, so the viewer's own step after it may differ a little."""
    model = small_model()
    assert model.factors is not None
    assert model.factors.viewers is not None
    assert model.blend.als is not None
    for viewer in range(4):
        profile = profile_of(model, f"u{viewer:02}", None)
        folded = fold_in(model.factors, profile.rows, model.blend.als)
        trained = model.factors.viewers[viewer]
        assert folded @ trained / np.linalg.norm(folded) / np.linalg.norm(trained) > 0.99
