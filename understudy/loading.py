"""Loading a data set of the past: the catalogue into the stores, the interactions into the event log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.errors import InvalidInputError
from ingest.loading import HistoryRow, load_history, publish_catalogue
from ingest.pacing import Pace
from storage.database import Database
from storage.event_log import EventLog
from storage.serving_store import ServingStore
from storage.videos import Video
from training.dataset import Dataset
from understudy.output import Progress


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `understudy load` sent: the reader makes rows of it."""

    videos: int
    viewers: int
    interactions: int
    shift_ms: int
    data_digest: str


def split_each_viewer(dataset: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """Each viewer's first `share` of interactions by time (rounded down, at least one), and the rest.

    Raises:
        InvalidInputError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InvalidInputError(f"first share {share:g} is not above 0 and at most 1")
    rank, total = _rank_within_viewer(dataset.viewer)
    first = rank < np.maximum(1, np.floor(total * share))
    return dataset.where(first), dataset.where(~first)


def _rank_within_viewer(viewer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per row: how many rows of the same viewer come before it, and how many there are in all."""
    order = np.argsort(viewer, kind="stable")
    counts = np.bincount(viewer)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(viewer), np.int64)
    rank[order] = np.arange(len(viewer)) - starts[viewer[order]]
    return rank, counts[viewer]


def load_dataset(
    dataset: Dataset,
    *,
    shift_ms: int,
    database: Database,
    serving_store: ServingStore,
    log: EventLog,
    on_progress: Progress,
    pace: Pace | None = None,
) -> Loaded:
    """Publish the catalogue and append every interaction as a `rating` event, all times moved by `shift_ms`.

    Loading the same data with the same shift again stores nothing twice: the event ids are the same.
    """
    moved = dataset.shifted(shift_ms)
    publish_catalogue(list(_catalogue(moved)), database, serving_store)
    digest = dataset.digest()
    sent = load_history(log, _rows(moved), digest, on_progress, pace=pace)
    return Loaded(len(moved.videos), len(np.unique(moved.viewer)), sent, shift_ms, digest)


def _rows(dataset: Dataset) -> list[HistoryRow]:
    """Where a data set has no ratings each interaction counts 1: watched, and nothing more is known."""
    videos, viewers = dataset.videos.ids, dataset.viewers
    ratings = np.where(np.isnan(dataset.value), 1.0, dataset.value).tolist()
    columns = zip(
        dataset.viewer.tolist(), dataset.video.tolist(), ratings, dataset.at_ms.tolist(), strict=True
    )
    return [HistoryRow(viewers[viewer], videos[video], rating, at) for viewer, video, rating, at in columns]


def _catalogue(dataset: Dataset) -> Iterator[Video]:
    """A video whose age nobody knows counts as added when it was first watched, or with the oldest ones."""
    never = np.iinfo(np.int64).max
    first = np.full(len(dataset.videos), never)
    np.minimum.at(first, dataset.video, dataset.at_ms)
    first[first == never] = dataset.at_ms[0]
    table = dataset.videos
    rows = zip(
        table.ids,
        table.titles,
        table.years,
        table.genres,
        table.overviews,
        table.added_ms,
        first.tolist(),
        strict=True,
    )
    for video_id, title, year, genres, overview, known_ms, guessed_ms in rows:
        yield Video(video_id, title, year, genres, overview, known_ms if known_ms >= 0 else guessed_ms)
