"""The platform's own rows become the same data set as a file's."""

from __future__ import annotations

import numpy as np

from storage.interactions import TrainingColumns
from storage.videos import Video
from training.tables import from_rows

VIDEOS = [Video(f"m{n}", f"Title {n}", 1990 + n, ("Drama",), "", 5) for n in range(3)]


def columns(*events: tuple[str, str, int, str, float]) -> TrainingColumns:
    users, videos, times, kinds, values = zip(*events, strict=True)
    return TrainingColumns(
        list(users), list(videos), np.array(times, np.int64), list(kinds), np.array(values, np.float64)
    )


def test_rows_become_columns() -> None:
    data = from_rows(VIDEOS, columns(("a", "m0", 10, "rating", 4.0), ("b", "m2", 20, "view", np.nan)))
    assert data.viewers == ("a", "b")
    assert data.videos.ids == ("m0", "m1", "m2")
    assert data.videos.added_ms == (5, 5, 5)
    assert data.at_ms.tolist() == [10, 20]
    assert data.value[0] == 4
    assert np.isnan(data.value[1])


def test_only_watching_is_learnt_from() -> None:
    kinds = ["rating", "comment", "share", "dislike", "complete", "search"]
    events = [("a", f"m{n % 3}", n, kind, 1.0) for n, kind in enumerate(kinds)]
    assert from_rows(VIDEOS, columns(*events)).at_ms.tolist() == [0, 4]


def test_ratings_and_watched_shares_are_not_mixed() -> None:
    both = from_rows(VIDEOS, columns(("a", "m0", 1, "rating", 2.0), ("b", "m0", 2, "complete", 1.0)))
    assert both.value[0] == 2
    assert np.isnan(both.value[1])
    assert not both.shares
    shares = from_rows(VIDEOS, columns(("a", "m0", 1, "progress", 0.3), ("b", "m0", 2, "complete", 1.0)))
    np.testing.assert_allclose(shares.value, [0.3, 1.0], rtol=1e-6)
    assert shares.shares
