"""Each trainer against a plain loop or a world whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.clock import DAY
from tests.small_model import START_MS, checkerboard, videos
from training.als import AlsSettings, confidences, train_als
from training.covisitation import DAMPING, CovisitationSettings, covisitation
from training.dataset import Dataset, make_dataset
from training.history import histories
from training.trending import HALF_LIVES_DAYS, trends

SMALL = AlsSettings(factors=8, regularization=0.1, threads=1)


def data(*events: tuple[str, str, int, float | None]) -> Dataset:
    users, ids, times, values = zip(*events, strict=True)
    return make_dataset(videos(5), users, ids, times, values)


def test_als_tells_the_two_tastes_apart() -> None:
    two_tastes = AlsSettings(factors=2, regularization=0.1, threads=1)
    viewers, of_videos = train_als(checkerboard(), two_tastes)
    predicted = viewers @ of_videos.T
    own = np.add.outer(np.arange(24), np.arange(30)) % 2 == 0
    assert predicted[own].min() > predicted[~own].max()


def test_als_gives_the_same_factors_every_time() -> None:
    first, again = train_als(checkerboard(), SMALL), train_als(checkerboard(), SMALL)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("half_life_days", [None, 1.0])
def test_als_has_the_factors_of_the_librarys_own_loop(half_life_days: float | None) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    dataset, settings = checkerboard(), replace(SMALL, alpha=3.0, half_life_days=half_life_days)
    model = AlternatingLeastSquares(8, 0.1, iterations=15, num_threads=1, random_state=settings.seed)
    model.fit(confidences(dataset, settings, dataset.newest_ms), show_progress=False)
    viewers, of_videos = train_als(dataset, settings, dataset.newest_ms)
    np.testing.assert_allclose(viewers, model.user_factors, rtol=1e-5)
    np.testing.assert_allclose(of_videos, model.item_factors, rtol=1e-5)


def test_als_has_nothing_for_what_was_never_watched() -> None:
    dataset = data(("a", "m00", 1, None), ("a", "m01", 2, None), ("b", "m01", 3, None))
    viewers, of_videos = train_als(dataset, SMALL)
    assert not of_videos[4].any()
    viewers, _ = train_als(dataset.before(3), SMALL)
    assert not viewers[1].any()


def test_covisitation_follows_the_order_of_watching() -> None:
    dataset = data(
        *(("a", f"m{n:02}", n, None) for n in range(3)), ("b", "m00", 0, None), ("b", "m01", 1, None)
    )
    table = covisitation(dataset, CovisitationSettings()).toarray()
    sums = np.array([2 + 2**-0.5, 1.0])
    counts = {1: 2, 2: 1}
    assert table[0, 1] == pytest.approx(2 / sums[0] / counts[1] ** DAMPING)
    assert table[0, 2] == pytest.approx(2**-0.5 / sums[0] / counts[2] ** DAMPING)
    assert table[1, 2] == pytest.approx(1 / sums[1] / counts[2] ** DAMPING)
    assert not table[2].any()
    assert not np.diag(table).any()


def test_covisitation_does_not_reach_from_viewer_to_viewer_or_beyond_five() -> None:
    dataset = data(("a", "m00", 1, None), ("b", "m01", 2, None))
    assert covisitation(dataset, CovisitationSettings()).nnz == 0
    long = make_dataset(videos(7), ["a"] * 7, [f"m{n:02}" for n in range(7)], range(7), [None] * 7)
    assert covisitation(long, CovisitationSettings()).toarray()[0, 6] == 0
    assert covisitation(long, CovisitationSettings()).toarray()[0, 5] > 0


def test_trending_halves_with_age() -> None:
    dataset = data(
        ("a", "m00", START_MS, 1.0), ("b", "m00", START_MS + DAY, 1.0), ("a", "m01", START_MS, 1.0)
    )
    found = trends(dataset, START_MS + DAY)
    one_day = HALF_LIVES_DAYS.index(1.0)
    assert found.scores[one_day, :3].tolist() == pytest.approx([1.5, 0.5, 0])
    assert found.popularity[:3].tolist() == [2, 1, 0]
    assert (np.diff(found.scores[:, 0]) >= 0).all()


def test_ratings_of_any_scale_are_damped_between_0_and_1() -> None:
    for scale in (1.0, 20.0, -3.0):
        dataset = data(*(("ab"[n % 2], f"m{n:02}", n, scale * n) for n in range(4)))
        rated = trends(dataset, START_MS).rating_mean
        assert ((rated >= 0) & (rated <= 1)).all()
        assert (np.diff(rated[:4]) * np.sign(scale) > 0).all()
    assert not trends(data(("a", "m00", 1, None)), 1).rating_mean.any()
    assert not trends(data(("a", "m00", 1, 3.0), ("a", "m01", 1, 3.0)), 1).rating_mean.any()


def test_histories_are_each_viewers_own_oldest_first() -> None:
    dataset = checkerboard()
    found = histories(dataset)
    for viewer in (0, 7, 23):
        part = slice(found.indptr[viewer], found.indptr[viewer + 1])
        own = dataset.viewer == viewer
        assert found.videos[part].tolist() == dataset.video[own].tolist()
        assert (np.diff(found.at_ms[part]) >= 0).all()
