"""Two towers: what they learn from, and that what serves is what was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import InvalidInputError
from inference.recommender.sources.towers import LAST, recency, viewer_vector
from tests.small_model import HashEncoder, checkerboard, videos
from training.dataset import make_dataset
from training.tower_settings import TowerSettings
from training.towers import Net, examples_of, train_towers

SMALL = TowerSettings(width=8, hidden=16, epochs=20, batch=64)
TEXTS = HashEncoder().encode(videos().titles)


def test_every_step_to_the_next_video_is_an_example() -> None:
    dataset = make_dataset(
        videos(5), ["a", "b", "a", "c", "a"], ["m00", "m01", "m02", "m03", "m04"], range(5), [None] * 5
    )
    targets, before, weights = examples_of(dataset, 10)
    assert targets.tolist() == [4, 2]
    assert before[0, :2].tolist() == [2, 0]
    assert weights[0, :2].tolist() == pytest.approx(recency(2)[::-1].tolist())
    assert before[1, 0] == 0
    assert weights[1].tolist() == pytest.approx([1.0] + [0.0] * (LAST - 1))
    assert examples_of(dataset, 1).targets.tolist() == [4]


def test_the_serving_tower_is_the_trained_one() -> None:
    towers = train_towers(checkerboard(), TEXTS, SMALL)
    parts = (towers.hidden, towers.hidden_bias, towers.out, towers.out_bias)
    net = Net(torch.empty(0), torch.empty(0), *map(torch.from_numpy, parts))
    expected = net.viewers(torch.from_numpy(towers.videos)).numpy()
    found = np.stack([viewer_vector(towers, row) for row in towers.videos])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_same_data_makes_the_same_towers_and_leaves_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    first, again = (train_towers(checkerboard(), TEXTS, SMALL) for _ in range(2))
    np.testing.assert_array_equal(first.videos, again.videos)
    np.testing.assert_array_equal(first.out, again.out)
    assert torch.get_num_threads() == threads


def test_a_video_that_nobody_watched_is_found_by_its_text() -> None:
    """m28 is of the even taste and m29 of the odd one; neither is in any history."""
    dataset = checkerboard()
    known = dataset.where(dataset.video < 28)
    towers = train_towers(known, TEXTS, replace(SMALL, text_alone=0.5))
    for viewer in range(4):
        watched = known.video[known.viewer == viewer]
        scores = towers.videos[28:] @ viewer_vector(towers, recency(len(watched)) @ towers.videos[watched])
        assert int(np.argmax(scores)) == viewer % 2


def test_without_any_step_the_texts_alone_speak() -> None:
    dataset = make_dataset(videos(5), ["a", "b"], ["m00", "m01"], [1, 2], [None, None])
    towers = train_towers(dataset, TEXTS[:5], SMALL)
    assert np.isfinite(towers.videos).all()
    cosines = towers.videos @ towers.videos[0]
    assert set(np.argsort(-cosines)[:3].tolist()) == {0, 2, 4}


def test_towers_that_run_away_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        train_towers(checkerboard(), TEXTS, replace(SMALL, learning_rate=1e30))
