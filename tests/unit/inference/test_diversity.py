"""Places by diversity, and places for cold videos."""

from __future__ import annotations

import numpy as np

from inference.recommender.diversity import marginal_relevance, with_cold


def test_diversity_takes_the_next_of_another_kind() -> None:
    scores = np.array([1.0, 0.9, 0.8, 0.0], np.float32)
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert marginal_relevance(scores, vectors, 0.0, 3).tolist() == [0, 1, 2]
    assert marginal_relevance(scores, vectors, 0.5, 3).tolist() == [0, 2, 1]


def test_cold_videos_get_their_places_from_the_end() -> None:
    cold = np.array([False, False, False, True, True, False])
    assert with_cold(np.array([0, 1, 2], np.int32), cold, 1).tolist() == [0, 1, 3]
    assert with_cold(np.array([0, 1, 2], np.int32), cold, 2).tolist() == [0, 3, 4]
    assert with_cold(np.array([0, 3], np.int32), cold, 1).tolist() == [0, 3]
    assert with_cold(np.array([0, 1], np.int32), np.zeros(2, np.bool_), 1).tolist() == [0, 1]
