"""The ranker's way to a list: the best of every source, features of each candidate, the learned order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32, Signals
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import HISTORY, Context
from inference.recommender.features import NAMES, PERSONAL, Watched, matrix
from inference.recommender.moment import Moment
from inference.recommender.ranker import Ranker
from inference.recommender.ranking import Ranked
from inference.recommender.sources import SOURCES

MOST: Final = 600  # candidates that reach the ranker
CHART_QUOTA: Final = 30
PERSONAL_QUOTA: Final = 20
PROPOSING: Final = ("towers",)
"""Sources that only some bundles have: they propose candidates, and the ranker is not told their scores."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The candidates of one viewer: ascending rows, features (n, len(NAMES)), and who proposed what."""

    rows: I32
    features: F32
    proposed: dict[str, I32]


def shortlist(model: ModelBundle, moment: Moment, context: Context, allowed: Mask) -> Shortlist:
    """Candidates of every source with their features; the same code in training and in serving."""
    scores = {name: SOURCES[name].scores(model, context) for name in (*PERSONAL, *PROPOSING)}
    found = {name: values for name, values in scores.items() if values is not None}
    proposed = {name: _head(chart, allowed, CHART_QUOTA) for name, chart in moment.charts.items()}
    mask = allowed.astype(np.float32)
    proposed |= {name: values.best(mask, PERSONAL_QUOTA) for name, values in found.items()}
    rows = _union(proposed)
    personal = np.zeros((len(PERSONAL), len(rows)), np.float32)
    for place, name in enumerate(PERSONAL):
        if name in found:
            personal[place] = found[name].of(rows)
    return Shortlist(rows, matrix(moment.videos, _watched(model, context), rows, personal), proposed)


def _head(chart: I32, allowed: Mask, quota: int) -> I32:
    """The first allowed rows of a chart; looks no further than it must."""
    depth = quota * 2
    while True:
        head = chart[:depth]
        head = head[allowed[head]]
        if len(head) >= quota or depth >= len(chart):
            return head[:quota]
        depth *= 4


def _union(proposed: dict[str, I32]) -> I32:
    """Every row that somebody proposed; with too many, those that most sources agree on."""
    all_rows = np.sort(np.concatenate(list(proposed.values())))
    (first,) = np.diff(all_rows, prepend=-1).nonzero()
    rows = all_rows[first]
    if len(rows) > MOST:
        votes = np.diff(first, append=len(all_rows))
        rows = np.sort(rows[np.argsort(-votes, kind="stable")[:MOST]])
    return rows


def _watched(model: ModelBundle, context: Context) -> Watched:
    values = context.profile.values[-HISTORY:]
    if context.context_row >= 0:
        values = np.append(values, np.float32(np.nan))
    return Watched(context.history, context.history_days, standardised(values, model.signals))


def standardised(values: F32, signals: Signals | None) -> F32:
    """Ratings in standard deviations from the mean of all, 0 where there is none."""
    if signals is None or signals.how.rating_spread == 0:
        return np.zeros(len(values), np.float32)
    found = (values - np.float32(signals.how.rating_mean)) / np.float32(signals.how.rating_spread)
    found[np.isnan(found)] = 0
    return found


def rank_learned(model: ModelBundle, found: Shortlist, count: int, explain: bool) -> Ranked:
    """The `count` best of the shortlist by the ranker; `parts` are its features' contributions, if asked for."""
    if model.ranker is None or not len(found.rows):
        return Ranked(np.empty(0, np.int32), np.empty(0, np.float32), {})
    scores = model.ranker.scores(found.features)
    order = np.argsort(-scores, kind="stable")[:count]
    parts = _parts(model.ranker, found.features[order]) if explain else {}
    return Ranked(found.rows[order], scores[order].astype(np.float32), parts)


def _parts(ranker: Ranker, features: F32) -> dict[str, F32]:
    added = ranker.contributions(features).astype(np.float32)
    return dict(zip((*NAMES, "base"), added.T, strict=True))
