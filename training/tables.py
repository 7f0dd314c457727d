"""Training data from the platform's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from core.events import WATCHED_BY
from storage.database import Database
from storage.interactions import TrainingColumns, training_columns
from storage.videos import Video, all_videos
from training.dataset import Dataset, Videos, make_dataset

# A dislike hides the video from its viewer (by the profile), and recommends it to nobody.
LEARNT_FROM: Final = WATCHED_BY - {"dislike"}
_RATINGS: Final = frozenset({"rating", "review"})


def read_tables(database: Database, until_ms: int) -> Dataset:
    """Everything watched up to `until_ms`, and the whole catalogue.

    Raises:
        InvalidInputError: no videos, or no interaction with one of them.
        DependencyError: the main store did not answer.
    """
    with database.begin() as connection:
        videos = all_videos(connection)
        columns = training_columns(connection, until_ms)
    return from_rows(videos, columns)


def from_rows(videos: Sequence[Video], columns: TrainingColumns) -> Dataset:
    """The data set of catalogue rows and interaction columns.

    Where there are ratings, watched shares are left out of the values: the two have different scales.
    """
    used = np.array([kind in LEARNT_FROM for kind in columns.event_type], np.bool_)
    rated = np.array([kind in _RATINGS for kind in columns.event_type], np.bool_) & ~np.isnan(columns.value)
    value = np.where(rated | ~rated.any(), columns.value, np.nan)
    kept = used.tolist()
    dataset = make_dataset(
        _columns(videos),
        [user_id for user_id, keep in zip(columns.user_ids, kept, strict=True) if keep],
        [video_id for video_id, keep in zip(columns.video_ids, kept, strict=True) if keep],
        columns.occurred_ms[used],
        value[used].astype(np.float32),
    )
    return replace(dataset, shares=not rated.any() and bool(np.isfinite(dataset.value).any()))


def _columns(videos: Sequence[Video]) -> Videos:
    return Videos(
        ids=tuple(video.video_id for video in videos),
        titles=tuple(video.title for video in videos),
        years=tuple(video.year for video in videos),
        genres=tuple(video.genres for video in videos),
        overviews=tuple(video.overview for video in videos),
        added_ms=tuple(video.added_ms for video in videos),
    )
