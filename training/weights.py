"""Choose a blend's weights on rolling folds inside the training data, from the serving code's own scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.recommender.blend import Blend, normalised
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context, Request, allowed_rows
from inference.recommender.profile import profile_of
from inference.recommender.ranking import candidates
from inference.recommender.recommend import source_scores
from training.evaluation import COUNT, DISCOUNT
from training.splits import Split, sampled
from training.trending import HALF_LIVES_DAYS

FACTORS: Final = (0.0, 0.25, 0.5, 2.0, 4.0)
MAX_VIEWERS: Final = 400  # of a fold: its standard error is what decides
SWEEPS: Final = 2

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """One viewer of a fold. Rows of `parts` (S, n) are normalised source scores of the n candidates.

    `trending` (H, n) is the same for the trending source at every half-life; `wanted` marks hits and
    `ideal` is the best DCG this viewer allows.
    """

    parts: Floats
    trending: Floats
    wanted: NDArray[np.bool_]
    ideal: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A point of the search: one weight per source, and the trending half-life by its index."""

    weights: tuple[float, ...]
    half_life: int


def tune(folds: Sequence[tuple[ModelBundle, Split]], start: Blend) -> Blend:
    """The blend after a coordinate search from `start`, weights in its sources and its half-life.

    A step is taken only if its paired gain in NDCG@20 over all folds' viewers is above two standard errors
    (dozens of steps are tried): with few viewers the start stays, instead of weights that fit noise.
    """
    names = list(start.sources)
    cases = [case for model, split in folds for case in _cases(model, sampled(split, MAX_VIEWERS), names)]
    if not cases:
        return start
    best = Choice(tuple(start.sources.values()), half_life_index(start.half_life_days))
    trending = names.index("trending") if "trending" in names else -1
    figures = _ndcg(cases, best, trending)
    for step in _steps(len(names), trending) * SWEEPS:
        tried = _after(best, *step)
        gain = _ndcg(cases, tried, trending) - figures
        if gain.mean() > 2 * gain.std() / np.sqrt(len(gain)):
            best, figures = tried, figures + gain
    weights = {name: weight for name, weight in zip(names, best.weights, strict=True) if weight > 0}
    return msgspec.structs.replace(
        start, sources=weights or start.sources, half_life_days=HALF_LIVES_DAYS[best.half_life]
    )


def half_life_index(days: float) -> int:
    """Index of the nearest half-life a bundle keeps."""
    return int(np.abs(np.log(np.array(HALF_LIVES_DAYS) / days)).argmin())


def _cases(model: ModelBundle, split: Split, names: Sequence[str]) -> list[Case]:
    return [_case(model, split, viewer, names) for viewer in split.wanted]


def _case(model: ModelBundle, split: Split, viewer: int, names: Sequence[str]) -> Case:
    profile = profile_of(model, split.past.viewers[viewer], None)
    context = Context(profile, split.split_ms)
    scores = source_scores(model, context)
    allowed = allowed_rows(model, Request(split.past.viewers[viewer], COUNT), profile)
    rows, _ = candidates(model, scores, allowed)
    none = np.zeros(len(rows), np.float32)
    parts = [normalised(scores[name].of(rows)) if name in scores else none for name in names]
    wanted = split.wanted[viewer]
    return Case(
        parts=np.array(parts, np.float64),
        trending=np.array([normalised(values) for values in model.trends.scores[:, rows]], np.float64),
        wanted=np.isin(rows, wanted),
        ideal=float(DISCOUNT[: min(COUNT, len(wanted))].sum()),
    )


def _ndcg(cases: Sequence[Case], choice: Choice, trending: int) -> Floats:
    weights = np.array(choice.weights)
    return np.array([_ndcg_of(case, weights, choice.half_life, trending) for case in cases])


def _ndcg_of(case: Case, weights: Floats, half_life: int, trending: int) -> float:
    total = weights @ case.parts
    if trending >= 0:
        total = total + weights[trending] * (case.trending[half_life] - case.parts[trending])
    best = np.argsort(-total, kind="stable")[:COUNT]
    return float(case.wanted[best] @ DISCOUNT[: len(best)]) / case.ideal


def _steps(sources: int, trending: int) -> list[tuple[int, float]]:
    """(which source, factor on its weight); source -1 stands for the half-life, by its index."""
    half_lives = [(-1, float(index)) for index in range(len(HALF_LIVES_DAYS))] if trending >= 0 else []
    return half_lives + [(source, factor) for source in range(sources) for factor in FACTORS]


def _after(choice: Choice, source: int, factor: float) -> Choice:
    if source < 0:
        return replace(choice, half_life=int(factor))
    weights = list(choice.weights)
    weights[source] *= factor
    return replace(choice, weights=tuple(weights))
