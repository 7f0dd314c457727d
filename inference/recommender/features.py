"""The ranker's features, by name: one builder for training and for serving.

Shares, ranks, ages and growth only: absolute counts drift between the time of training and of serving.
"""

from __future__ import annotations

import math
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
_COMPARED: Final = [_YEAR, _POPULAR, _NEW]


def _columns(first: str, count: int) -> slice:
    return slice(NAMES.index(first), NAMES.index(first) + count)


_OF_VIDEO, _OF_VIEWER = _columns(VIDEO[0], len(VIDEO)), _columns(VIEWER[0], len(VIEWER))
_OF_GENRES, _OF_GAPS = _columns("genre_match", 2), _columns("year_gap", len(_COMPARED))
_OF_PLACES = _columns(f"{PERSONAL[0]}_rank", len(PERSONAL))
_OF_PARTS = _columns(f"{PERSONAL[0]}_part", len(PERSONAL))
_EACH: Final = np.arange(len(PERSONAL))[:, None]


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
    found = np.empty((len(rows), len(NAMES)), np.float32)
    found[:, _OF_VIDEO] = videos.table.take(rows, axis=0)
    found[:, _OF_VIEWER] = own
    found[:, _OF_GENRES] = videos.genres.take(rows, axis=0) @ _genres(videos, watched).T
    found[:, _OF_GAPS] = found[:, _COMPARED] - taste
    places = _places(personal)
    found[:, _OF_PLACES] = places.T
    found[:, _OF_PARTS] = (personal / np.maximum(personal.max(axis=1, keepdims=True, initial=0), 1e-9)).T
    found[:, -2] = places.sum(axis=0) / len(PERSONAL)
    found[:, -1] = places.min(axis=0)
    return found


def _places(scores: F32) -> F32:
    """Log of the place within each row of scores; those without a score share the last place."""
    count = scores.shape[1]
    places = np.empty(scores.shape, np.float32)
    by_place = np.log(np.arange(1, count + 1, dtype=np.float32))
    places[_EACH, (-scores).argsort(axis=1)] = by_place
    places[scores == 0] = by_place[-1] if count else 0
    return places


def _viewer(videos: VideoTable, watched: Watched) -> tuple[list[float], F32]:
    """The viewer's own features, and of them the taste: what a video's year, popularity and newness are held against."""
    table, days = videos.table.take(watched.rows, axis=0), watched.days
    newness = np.expm1(table[:, _NEW]) - days
    newness[np.isnan(newness)] = 0
    years = table[:, _YEAR]
    years = years[~np.isnan(years)]
    likes_new = math.log1p(max(float(newness.mean()), 0))
    likes_popular = float(table[:, _POPULAR].mean())
    likes_year = float(years.mean()) if len(years) else math.nan
    rating = float(watched.ratings.mean())
    own = [
        math.log1p(len(days)),
        math.log1p(days.min()),
        *(math.log1p(np.count_nonzero(days <= limit)) for limit in (1, 7, 30)),
        math.log1p(days.max()),
        likes_new,
        likes_popular,
        likes_year,
        rating,
        math.sqrt(float(np.square(watched.ratings - rating).mean())),
    ]
    return own, np.array([likes_year, likes_popular, likes_new], np.float32)


def _genres(videos: VideoTable, watched: Watched) -> F32:
    """The mean genres of all that was watched, and of the last ten."""
    genres = videos.genres.take(watched.rows, axis=0)
    last = genres[-LAST_FOR_GENRES:]
    return np.stack([genres.sum(axis=0) / len(genres), last.sum(axis=0) / len(last)])


def monotone() -> list[int]:
    """1 for every share and part, -1 for every place: more evidence never counts against a video."""
    falls = {name for name in NAMES if name.endswith("_rank") or name.startswith("rank_")}
    rises = {
        name for name in NAMES if name.endswith("_part") or name.startswith(("share_", "regular_share_"))
    }
    return [-1 if name in falls else int(name in rises) for name in NAMES]
