"""A profile merges what the bundle knew with what the serving store saw since: one entry a video, oldest first."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.recommender.bundle import ModelBundle
from inference.recommender.profile import profile_of
from tests.small_model import RANKED_SMALL, START_MS, VIDEOS, checkerboard, small_model
from training.signals import train_signals


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    return small_model()


def test_a_known_viewer_without_live_events_is_as_bundled(model: ModelBundle) -> None:
    profile = profile_of(model, "u00", None)
    assert profile.viewer_row == 0
    assert not profile.fresh
    assert len(profile.rows) == 10


def test_the_newest_time_of_a_video_counts(model: ModelBundle) -> None:
    known = profile_of(model, "u00", None)
    first = model.catalogue.video_ids[known.rows[0]]
    later = int(known.at_ms[-1]) + 1
    profile = profile_of(model, "u00", {"watched": [[first, later, None, 0.5]]})
    assert profile.rows[-1] == known.rows[0]
    assert profile.at_ms[-1] == later
    assert len(profile.rows) == len(known.rows)
    assert not profile.fresh


@pytest.mark.parametrize(
    ("shares", "values"), [(False, [4.0, math.nan, math.nan, 2.5]), (True, [0.5, 0.25, math.nan, math.nan])]
)
def test_ratings_and_watched_shares_are_not_mixed(
    model: ModelBundle, shares: bool, values: list[float]
) -> None:
    assert RANKED_SMALL.signals is not None
    told = replace(
        model, signals=train_signals(replace(checkerboard(), shares=shares), RANKED_SMALL.signals, START_MS)
    )
    watched = [["m00", START_MS, 4.0, 0.5], ["m01", START_MS + 1, None, 0.25], ["m02", START_MS + 2, 0.75]]
    watched.append(["m03", START_MS + 3, 2.5])
    np.testing.assert_array_equal(profile_of(told, "nobody", {"watched": watched}).values, np.float32(values))


@given(st.lists(st.tuples(st.integers(0, VIDEOS + 3), st.integers(0, 10**9)), max_size=40))
def test_it_is_what_a_plain_merge_gives(model: ModelBundle, events: list[tuple[int, int]]) -> None:
    known = profile_of(model, "u01", None)
    merged: dict[int, int] = dict(zip(known.rows.tolist(), known.at_ms.tolist(), strict=True))
    document: dict[str, Any] = {"watched": []}
    for video, offset in events:
        at_ms = START_MS - 10**9 + 2 * offset
        document["watched"].append([f"m{video:02}", at_ms, None, None])
        if video < VIDEOS:
            merged[video] = max(merged.get(video, 0), at_ms)
    profile = profile_of(model, "u01", document)
    assert dict(zip(profile.rows.tolist(), profile.at_ms.tolist(), strict=True)) == merged
    assert profile.at_ms.tolist() == sorted(profile.at_ms.tolist())
    assert profile.fresh == (len(merged) > len(known.rows))
