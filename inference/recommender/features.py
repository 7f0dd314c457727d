"""The ranker's features, by name: one builder for training and for serving.

Shares, ranks, ages and growth only: absolute counts drift between the time of training and of serving.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.clock import DAY
from inference.recommender.arrays import F32, I32, I64

SHARE_FLOOR: Final = 1e-6  # of all counts: below it a share says nothing
HALF_LIVES_DAYS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 90.0)
"""From the last hours to a season; which of them matters is for the ranker to learn."""
REGULAR_HALF_LIVES_DAYS: Final = (0.5, 2.0, 8.0, 32.0)
GROWTH: Final = tuple((place, place + 2) for place in range(len(HALF_LIVES_DAYS) - 2))
PERSONAL: Final = (
    "als",
    "als_recent",
    "ease",
    "ease_now",
    "covisitation",
    "covisitation_recent",
    "near_2d",
    "near_8d",
    "near_32d",
    "near_ever",
    "close_8d",
)
"""Sources whose scores the ranker sees, as places and as parts of the best."""

VIDEO: Final = (
    *(f"share_{days:g}d" for days in HALF_LIVES_DAYS),  # log of its part of all decayed counts
    *(f"regular_share_{days:g}d" for days in REGULAR_HALF_LIVES_DAYS),  # the same among regular viewers
    *(f"growth_{HALF_LIVES_DAYS[a]:g}d_{HALF_LIVES_DAYS[b]:g}d" for a, b in GROWTH),
    *(f"regular_lead_{days:g}d" for days in REGULAR_HALF_LIVES_DAYS),  # more among regulars than among all
    "first_age",  # log of days since it was watched first, for the tenth time, and last
    "tenth_age",
    "last_age",
    "year",  # against the newest in the catalogue
    "rating",
    "rating_spread",
    "genre_count",
)
VIEWER: Final = (
    "history",  # log of how many watched
    "idle",  # log of days since the last
    "active_1d",
    "active_7d",
    "active_30d",
    "tenure",  # log of days since the oldest that is remembered
    "likes_new",  # how old videos were when this viewer watched them
    "likes_popular",
    "likes_year",
    "mean_rating",
    "rating_variety",
)
MATCH: Final = ("genre_match", "genre_match_recent", "year_gap", "popularity_gap", "novelty_gap")
NAMES: Final = (
    *VIDEO,
    *VIEWER,
    *MATCH,
    *(f"{name}_rank" for name in PERSONAL),  # log of the place among the viewer's candidates
    *(f"{name}_part" for name in PERSONAL),  # part of the best candidate's score
    "rank_mean",
    "rank_best",
)
LAST_FOR_GENRES: Final = 10
_NEW, _POPULAR, _YEAR = VIDEO.index("first_age"), VIDEO.index("share_32d"), VIDEO.index("year")


@dataclass(frozen=True, slots=True)
class VideoTable:
    """Features that depend on the video and the moment alone, by row; genres as rows of length 1."""

    table: F32
    genres: F32


@dataclass(frozen=True, slots=True)
class Watched:
    """A viewer's history, oldest first; ratings in standard deviations, 0 where there is none."""

    rows: I32
    days: F32
    ratings: F32


def log_shares(counts: F32) -> F32:
    """Log of each video's part of its row of counts (H, V)."""
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(np.log(counts / total + SHARE_FLOOR), np.float32)


def ages(seen_ms: I64, now_ms: int) -> F32:
    """Log of one plus days since; NaN for never."""
    days = np.where(seen_ms >= 0, np.maximum(now_ms - seen_ms, 0) / DAY, np.nan)
    return np.log1p(days).astype(np.float32)


def matrix(videos: VideoTable, watched: Watched, rows: I32, personal: F32) -> F32:
    """Features (n, len(NAMES)) of the candidates in `rows`, with their personal scores (len(PERSONAL), n)."""
    own, taste = _viewer(videos, watched)
    video = videos.table[rows]
    places = _places(personal)
    parts = personal / np.maximum(personal.max(axis=1, keepdims=True, initial=0), 1e-9)
    found = np.empty((len(rows), len(NAMES)), np.float32)
    at = 0
    for block in (
        video,
        np.broadcast_to(own, (len(rows), len(own))),
        _match(videos, watched, rows, video, taste),
    ):
        found[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    found[:, at : at + len(PERSONAL)] = places.T
    found[:, at + len(PERSONAL) : -2] = parts.T
    found[:, -2] = places.mean(axis=0)
    found[:, -1] = places.min(axis=0)
    return found


def _places(scores: F32) -> F32:
    """Log of the place within each row of scores; those without a score share the last place."""
    order = np.argsort(-scores, axis=1)
    places = np.empty(scores.shape, np.float32)
    np.put_along_axis(places, order, np.arange(1, scores.shape[1] + 1, dtype=np.float32)[None], 1)
    places[scores == 0] = scores.shape[1]
    return np.log(places)


def _viewer(videos: VideoTable, watched: Watched) -> tuple[F32, F32]:
    table = videos.table[watched.rows]
    new = np.nan_to_num(np.expm1(table[:, _NEW]) - watched.days).mean()
    year = table[:, _YEAR][~np.isnan(table[:, _YEAR])]
    taste = np.array(
        [np.log1p(max(new, 0)), table[:, _POPULAR].mean(), year.mean() if len(year) else np.nan], np.float32
    )
    days = watched.days
    own = [
        np.log1p(len(days)),
        np.log1p(days.min()),
        *(np.log1p((days <= limit).sum()) for limit in (1, 7, 30)),
        np.log1p(days.max()),
        *taste,
        watched.ratings.mean(),
        watched.ratings.std(),
    ]
    return np.array(own, np.float32), taste


def _match(videos: VideoTable, watched: Watched, rows: I32, video: F32, taste: F32) -> F32:
    genres = videos.genres[watched.rows]
    profile = np.stack([genres.mean(axis=0), genres[-LAST_FOR_GENRES:].mean(axis=0)])
    fit = videos.genres[rows] @ profile.T
    gaps = [video[:, _YEAR] - taste[2], video[:, _POPULAR] - taste[1], video[:, _NEW] - taste[0]]
    return np.concatenate([fit, np.stack(gaps, axis=1)], axis=1)


def monotone() -> list[int]:
    """1 for every share and part, -1 for every place: more evidence never counts against a video."""
    falls = {name for name in NAMES if name.endswith("_rank") or name.startswith("rank_")}
    rises = {
        name for name in NAMES if name.endswith("_part") or name.startswith(("share_", "regular_share_"))
    }
    return [-1 if name in falls else int(name in rises) for name in NAMES]
