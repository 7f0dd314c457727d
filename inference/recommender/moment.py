"""What holds for every viewer at one moment: features of the videos, and the charts. Made once a refresh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.clock import DAY
from inference.recommender.arrays import F32, F64, I32, Signals
from inference.recommender.bundle import ModelBundle
from inference.recommender.features import GROWTH, VideoTable, ages, log_shares

CHARTS: Final[dict[str, tuple[str, int]]] = {
    "trending_6h": ("all", 1),
    "trending_1d": ("all", 3),
    "trending_4d": ("all", 5),
    "trending_8d": ("all", 6),
    "trending_32d": ("all", 8),
    "trending_90d": ("all", 9),
    "trending_regulars": ("regulars", 1),
}
"""Chart -> which counts, and which half-life of them by its place."""
MOST_GENRES: Final = 32
NEWEST: Final = 0.995  # quantile of the years that counts as this year


@dataclass(frozen=True, slots=True)
class Moment:
    """`charts` has every row in order of decayed counts, the highest first; `now_ms` is the moment."""

    now_ms: int
    videos: VideoTable
    charts: dict[str, I32]


def aged(model: ModelBundle, counts: F32, half_lives_days: F64, now_ms: int, live: F32 | None) -> F32:
    """Counts (H, V) as of the bundle, faded to now, plus what is watched right now."""
    if live is None:
        return counts
    days = max(0, now_ms - model.as_of_ms) / DAY
    fading = np.exp2(-days / half_lives_days).astype(np.float32)
    return np.asarray(counts * fading[:, None] + live, np.float32)


def make_moment(model: ModelBundle, signals: Signals, live: F32 | None, now_ms: int) -> Moment:
    """The moment `now_ms`, with the live counts (V,) of then, if known."""
    facts, trends = signals.facts, model.trends
    counts = {
        "all": aged(model, trends.scores, trends.half_lives_days, now_ms, live),
        "regulars": aged(model, facts.regulars, facts.regular_half_lives_days, now_ms, live),
    }
    shares, regulars = log_shares(counts["all"]), log_shares(counts["regulars"])
    beside = [int(np.abs(trends.half_lives_days - days).argmin()) for days in facts.regular_half_lives_days]
    growth = np.stack([shares[a] - shares[b] for a, b in GROWTH])
    own = np.stack([_years(model), facts.rating, facts.rating_spread, model.catalogue.has_genre.sum(axis=0)])
    table = np.concatenate(
        [shares, regulars, growth, regulars - shares[beside], ages(facts.seen_ms, now_ms), own]
    )
    charts = {
        name: np.argsort(-counts[kind][place], kind="stable").astype(np.int32)
        for name, (kind, place) in CHARTS.items()
    }
    return Moment(now_ms, VideoTable(np.ascontiguousarray(table.T, np.float32), _genres(model)), charts)


def _years(model: ModelBundle) -> F32:
    years = np.where(model.catalogue.years > 0, model.catalogue.years, np.nan).astype(np.float32)
    watched = years[(model.trends.popularity > 0) & ~np.isnan(years)]
    return years - np.float32(np.quantile(watched, NEWEST) if len(watched) else 0)


def _genres(model: ModelBundle) -> F32:
    """(V, at most 32): the most frequent genres, rows of length 1."""
    has = model.catalogue.has_genre
    most = np.argsort(-has.sum(axis=1), kind="stable")[:MOST_GENRES]
    kept = has[np.sort(most)].T.astype(np.float32) if len(most) else np.zeros((has.shape[1], 1), np.float32)
    return np.ascontiguousarray(kept / np.sqrt(np.maximum(kept.sum(axis=1, keepdims=True), 1)), np.float32)
