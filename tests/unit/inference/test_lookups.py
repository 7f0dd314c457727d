"""Search, similar and trending over the checkerboard: exact, filtered, in a stable order."""

from dataclasses import replace

import numpy as np
import pytest

from core.clock import ManualClock
from core.errors import DependencyError, InvalidInputError, InvalidSettingError, NotFoundError
from core.lookup_query import LookupQuery
from inference.lookups import Lookups
from inference.query_encoder import QueryEncoder
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import LiveTrending
from inference.recommender.lookups import near_text, near_video, shown, trending_now
from tests.small_model import HashEncoder, small_model


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    return small_model()


def lookups(model: ModelBundle, counts: dict[str, float] | None = None) -> Lookups:
    live = None
    if counts is not None:
        dense = np.zeros(len(model.catalogue), np.float32)
        for video_id, count in counts.items():
            dense[model.catalogue.row_of[video_id]] = count
        live = LiveTrending(dense)
    return Lookups(model, QueryEncoder(HashEncoder), lambda: live, ManualClock(model.as_of_ms))


def ids(found: Lookups, query: LookupQuery) -> list[str]:
    return [video.video_id for video in found.find(query)]


def test_a_search_finds_what_is_called_so(model: ModelBundle) -> None:
    found = lookups(model).find(LookupQuery("search", 3, text=model.catalogue.titles[7]))
    assert found[0].video_id == "m07"
    assert [video.score for video in found] == sorted((video.score for video in found), reverse=True)


def test_filters_hold_for_every_lookup(model: ModelBundle) -> None:
    for query in (
        LookupQuery("search", 30, "comedy", ("m02",), text="horror"),
        LookupQuery("trending", 30, "comedy", ("m02",)),
        LookupQuery("similar", 30, "comedy", ("m02",), video_id="m04"),
    ):
        found = ids(lookups(model), query)
        assert found
        assert "m02" not in found
        assert all(int(video[1:]) % 2 == 0 for video in found)
        with pytest.raises(InvalidInputError, match="genre"):
            ids(lookups(model), replace(query, genre="nonsense"))


def test_the_table_and_all_cosines_give_the_same_order(model: ModelBundle) -> None:
    allowed = shown(model, None, ("m06",))
    for row in range(len(model.catalogue)):
        short = near_video(model, row, allowed, 3)
        whole = near_video(model, row, allowed, 29)
        assert row not in whole.rows
        assert whole.rows[:3].tolist() == short.rows.tolist()
        assert whole.scores[:3] == pytest.approx(short.scores, abs=1e-6)
        assert len(whole.rows) == 28 + (row == 6)


def test_equal_ones_come_in_the_order_of_rows(model: ModelBundle) -> None:
    flat = replace(model, embeddings=np.ones_like(model.embeddings))
    listing = near_text(flat, np.ones(16, np.float32), shown(model, None, ()), 4)
    assert listing.rows.tolist() == [0, 1, 2, 3]


def test_an_unknown_video_is_not_found(model: ModelBundle) -> None:
    with pytest.raises(NotFoundError, match="'m99'"):
        ids(lookups(model), LookupQuery("similar", video_id="m99"))


def test_what_is_watched_now_leads_trending(model: ModelBundle) -> None:
    assert ids(lookups(model, {"m29": 1e6, "m03": 1e5}), LookupQuery("trending", 2)) == ["m29", "m03"]
    nobody = replace(model, trends=replace(model.trends, scores=np.zeros_like(model.trends.scores)))
    assert len(trending_now(nobody, None, 0, shown(model, None, ()), 5).rows) == 0


def test_an_encoder_is_opened_once_and_asked_for_again_while_it_is_missing() -> None:
    there: list[HashEncoder] = []
    opened = 0

    def open_encoder() -> HashEncoder:
        nonlocal opened
        opened += 1
        if not there:
            raise InvalidSettingError("no file /somewhere/secret")
        return there[0]

    encoder = QueryEncoder(open_encoder)
    encoder.warm()
    with pytest.raises(DependencyError) as refused:
        encoder.encode("x")
    assert "/somewhere" not in str(refused.value)
    there.append(HashEncoder())
    encoder.warm()
    assert encoder.encode("x").shape == (16,)
    encoder.encode("y")
    assert opened == 3
