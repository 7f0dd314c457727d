"""A profile merges what the bundle knew with what the serving store saw since: one entry a video, oldest first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.recommender.bundle import ModelBundle
from inference.recommender.profile import profile_of
from tests.small_model import START_MS, VIDEOS, small_model


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
    profile = profile_of(model, "u00", {"watched": [[first, later, 0.5]]})
    assert profile.rows[-1] == known.rows[0]
    assert profile.at_ms[-1] == later
    assert len(profile.rows) == len(known.rows)
    assert not profile.fresh


@given(st.lists(st.tuples(st.integers(0, VIDEOS + 3), st.integers(0, 10**9)), max_size=40))
def test_it_is_what_a_plain_merge_gives(model: ModelBundle, events: list[tuple[int, int]]) -> None:
    known = profile_of(model, "u01", None)
    merged: dict[int, int] = dict(zip(known.rows.tolist(), known.at_ms.tolist(), strict=True))
    document: dict[str, Any] = {"watched": []}
    for video, offset in events:
        at_ms = START_MS - 10**9 + 2 * offset
        document["watched"].append([f"m{video:02}", at_ms, None])
        if video < VIDEOS:
            merged[video] = max(merged.get(video, 0), at_ms)
    profile = profile_of(model, "u01", document)
    assert dict(zip(profile.rows.tolist(), profile.at_ms.tolist(), strict=True)) == merged
    assert profile.at_ms.tolist() == sorted(profile.at_ms.tolist())
    assert profile.fresh == (len(merged) > len(known.rows))
