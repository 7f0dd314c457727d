"""The candidates' order: union of what the sources propose, scores blended, the best first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32
from inference.recommender.blend import contributions
from inference.recommender.bundle import ModelBundle
from inference.recommender.scores import Scores
from inference.recommender.sources import SOURCES


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best rows in order with their scores; `parts[name]` is what one score added to each of them."""

    rows: I32
    scores: F32
    parts: dict[str, F32]


def candidates(
    model: ModelBundle, scores: Mapping[str, Scores], allowed: NDArray[np.bool_]
) -> tuple[I32, dict[str, I32]]:
    """Rows to rank, and which of them each source proposed (all allowed rows where the blend is broken)."""
    mask = allowed.astype(np.float32)
    proposed = {name: found.best(mask, SOURCES[name].quota) for name, found in scores.items()}
    if not model.blend.descending:
        return np.flatnonzero(allowed).astype(np.int32), proposed
    there = np.zeros(len(model.catalogue), np.bool_)
    for rows in proposed.values():
        there[rows] = True
    return np.flatnonzero(there).astype(np.int32), proposed


def rank(model: ModelBundle, scores: Mapping[str, Scores], rows: I32, count: int) -> Ranked:
    """Blend the scores of `rows` and keep the `count` best; equal ones in the order of rows."""
    blend = model.blend
    seen = {name: found.of(rows) for name, found in scores.items()}
    seen |= {name: _property(model, name)[rows] for name in blend.properties}
    weights = dict.fromkeys(scores, 1.0) | blend.sources | blend.properties
    parts = contributions(seen, weights)
    total: F32 = np.asarray(np.sum(list(parts.values()), axis=0), np.float32)
    order = np.argsort(-total if blend.descending else total, kind="stable")[:count]
    return Ranked(rows[order], total[order], {name: part[order] for name, part in parts.items()})


def fill(model: ModelBundle, ranked: Ranked, allowed: NDArray[np.bool_], count: int) -> Ranked:
    """Complete a list that is too short with the most popular of what is left."""
    missing = count - len(ranked.rows)
    if missing <= 0:
        return ranked
    left = allowed.copy()
    left[ranked.rows] = False
    rows = np.flatnonzero(left)
    if not len(rows):
        return ranked
    popular = rows[np.argsort(-model.trends.popularity[rows], kind="stable")[:missing]]
    return followed_by(ranked, popular.astype(np.int32), min(0.0, ranked.scores.min(initial=0.0)))


def followed_by(ranked: Ranked, rows: I32, score: float) -> Ranked:
    """The list with `rows` after it, each of this score and of no parts."""
    none = np.zeros(len(rows), np.float32)
    return Ranked(
        np.append(ranked.rows, rows),
        np.append(ranked.scores, np.full(len(rows), score, np.float32)),
        {name: np.append(part, none) for name, part in ranked.parts.items()},
    )


def _property(model: ModelBundle, name: str) -> F32:
    if name == "rating":
        return model.trends.rating_mean
    return np.log1p(model.trends.popularity)
