"""Splits never let the future in, and the figures are what the definitions say."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from core.clock import DAY, HOUR
from tests.small_model import START_MS, checkerboard, small_model, vectors_of, videos
from training.dataset import make_dataset
from training.evaluation import evaluate, evaluate_ranking, gini, score
from training.offline import best_half_life
from training.recipes import RANKED, Recipe
from training.replay import Replay
from training.splits import Split, rolling, sampled, split_at, split_share
from training.trending import HALF_LIVES_DAYS
from training.weights import tune


def test_a_split_asks_only_for_the_future_of_known_viewers_and_videos() -> None:
    users = ["a"] * 7 + ["b"] * 3 + ["c"]
    ids = ["m00", "m01", "m02", "m03", "m04", "m00", "m05", "m01", "m02", "m03", "m04"]
    times = [1, 2, 3, 4, 5, 6, 11, 2, 3, 12, 13]
    split = split_at(make_dataset(videos(6), users, ids, times, [None] * 11), 10, min_history=2)
    assert split.past.at_ms.max() < 10
    # a watched m05, which nobody had before; c has no history; b's m03 was known.
    assert {split.past.viewers[v]: rows.tolist() for v, rows in split.wanted.items()} == {"b": [3]}


def test_watching_again_is_not_asked_for() -> None:
    users, ids = ["a"] * 5 + ["b"] * 3, ["m00", "m01", "m02", "m00", "m03", "m03", "m00", "m01"]
    times = [1, 2, 3, 11, 12, 4, 5, 6]
    split = split_at(make_dataset(videos(4), users, ids, times, [None] * 8), 10, min_history=3)
    assert len(split.past) == 6, "what a viewer comes back to had been watched all the same"
    assert {split.past.viewers[v]: rows.tolist() for v, rows in split.wanted.items()} == {"a": [3]}


def test_rolling_splits_ask_for_nothing_twice() -> None:
    data = checkerboard()
    splits = rolling(data, (0.5, 0.7, 0.9))
    asked = [
        (viewer, row) for split in splits for viewer, rows in split.wanted.items() for row in rows.tolist()
    ]
    assert len(splits) == 3
    assert len(set(asked)) == len(asked) > 0
    assert sorted(split.split_ms for split in splits) == [split.split_ms for split in splits]


def test_a_time_long_after_the_last_interaction_has_folds_all_the_same() -> None:
    data = checkerboard(viewers=40, count=60)
    replay = Replay(data, vectors_of(data), RANKED)
    end, later = (replay.last_folds(data.newest_ms + 1 + days * DAY, 3) for days in (0, 1000))
    assert [len(fold.past) for fold in later] == [len(fold.past) for fold in end]
    assert len(end) == 3


def test_the_half_life_is_of_what_trended_last() -> None:
    """Everybody watches one new video a day, after a month in which the same few were watched."""
    steady = [(f"w{n}", f"m{n % 6:02}", START_MS + n * 30 * DAY // 400) for n in range(400)]
    daily = [
        (f"u{viewer}", f"m{6 + day:02}", START_MS + (30 + day) * DAY + (viewer % 20) * HOUR)
        for day in range(14)
        for viewer in range(40)
    ]
    users, ids, times = zip(*steady, *daily, strict=True)
    data = make_dataset(videos(20), users, ids, times, [None] * len(users))
    split = split_at(data, data.newest_ms - DAY, min_history=5)
    before = Replay(data, vectors_of(data), RANKED).last_folds(split.split_ms, 3)
    assert HALF_LIVES_DAYS[best_half_life(before)] <= 1


def test_equal_times_have_no_split() -> None:
    data = make_dataset(videos(4), list("aabb"), ["m00", "m01", "m00", "m02"], [5] * 4, [None] * 4)
    assert rolling(data, (0.5, 0.8)) == []


def test_a_sample_is_the_same_every_time() -> None:
    split = split_share(checkerboard(), 0.6)
    assert len(sampled(split, 5).wanted) == 5
    assert list(sampled(split, 5).wanted) == list(sampled(split, 5).wanted)
    assert sampled(split, 1000) is split


def one_viewer(wanted: list[int]) -> Split:
    data = make_dataset(videos(30), ["a"], ["m00"], [START_MS], [None])
    return Split(START_MS + 1, data, {0: np.array(wanted, np.int32)})


def test_figures_are_those_of_the_definitions() -> None:
    found = score({0: np.array([5, 1, 7, *range(8, 25)], np.int32)}, one_viewer([1, 7, 29]))
    dcg = 1 / np.log2(3) + 1 / np.log2(4)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found.ndcg[0] == pytest.approx(dcg / ideal)
    assert found.recall[0] == pytest.approx(2 / 3)
    assert found.hit10[0] == 1
    assert found.coverage == pytest.approx(20 / 30)
    assert found.cold_share == 1


def test_a_perfect_list_scores_one_even_with_more_wanted_than_places() -> None:
    found = score({0: np.arange(1, 21, dtype=np.int32)}, one_viewer(list(range(1, 29))))
    assert found.ndcg[0] == pytest.approx(1)
    assert found.recall[0] == pytest.approx(20 / 28)


def test_a_short_list_and_an_empty_one_are_counted_as_such() -> None:
    assert score({0: np.array([1], np.int32)}, one_viewer([1, 2])).recall[0] == 0.5
    assert score({0: np.array([], np.int32)}, one_viewer([1])).ndcg[0] == 0


def test_gini_runs_from_equal_to_one_takes_all() -> None:
    assert gini(np.ones(50, np.int64)) == pytest.approx(0)
    assert gini(np.eye(1, 50, dtype=np.int64)[0] * 9) == pytest.approx(0.98)
    assert gini(np.zeros(5, np.int64)) == 0


def test_the_baseline_leaves_out_what_was_watched() -> None:
    split = split_share(checkerboard(), 0.6)
    popularity = np.zeros(30, np.float32)
    popularity[split.past.video[split.past.viewer == next(iter(split.wanted))]] = 100
    assert evaluate_ranking(popularity, split).viewers.tolist() == list(split.wanted)


def test_a_personal_model_beats_one_list_for_all() -> None:
    split = split_share(checkerboard(), 0.6)
    model = small_model(dataset=split.past)
    ours = evaluate(model, split)
    assert ours.ndcg.mean() > evaluate_ranking(model.trends.popularity, split).ndcg.mean()
    upside_down = replace(model, blend=msgspec.structs.replace(model.blend, descending=False))
    assert evaluate(upside_down, split).ndcg.mean() < 0.5 * ours.ndcg.mean()


def test_weights_move_to_what_works_and_stay_where_nothing_is_known() -> None:
    """The start listens to trending alone, where only taste can tell."""
    split = split_share(checkerboard(viewers=60), 0.6)
    recipe = Recipe("start", {"trending": 1.0, "content": 0.01}, neighbours=10)
    model = small_model(recipe, split.past)
    tuned = tune([(model, split)], model.blend)
    assert tuned.sources["content"] / tuned.sources.get("trending", 1e-9) > 0.01
    better = replace(model, blend=tuned)
    assert evaluate(better, split).ndcg.mean() > evaluate(model, split).ndcg.mean()
    assert tune([], model.blend) == model.blend


def test_a_split_after_everything_asks_nothing() -> None:
    assert split_at(checkerboard(), START_MS + 400 * DAY).wanted == {}
