"""Two LightGBM models over the folds' examples, monotone in shares and places: the order within a list, and the odds.

LambdaRank looks at the top of each list and is unsteady where few viewers hit; the odds of every candidate are not.
The sum of both did as well as the better one on every fold that was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, F64
from inference.recommender.features import NAMES, monotone
from training.merged_trees import merged

LEAST_SPREAD: Final = 1e-6  # of a model that found nothing to tell candidates apart by


@dataclass(frozen=True, slots=True)
class RankerSettings:
    """How the past is replayed, and LightGBM's parameters. Many small folds: any two weeks trend differently.

    A fold asks at most `viewers_per_fold` viewers with `least_history` interactions or more; with `viewers`
    in total no more folds are made. A fold's past holds at least `least_past` of all interactions, and with
    fewer than `least_hits` hits in all there is no ranker. There are `trees` of either objective.
    """

    least_history: int = 5
    viewers_per_fold: int = 600
    viewers: int = 4000
    least_past: float = 0.3
    least_hits: int = 100
    trees: int = 100
    learning_rate: float = 0.075
    leaves: int = 15
    least_in_leaf: int = 100
    columns: float = 0.5
    l2: float = 5.0
    truncation: int = 30
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Examples:
    """Candidates of many viewers, one block of `sizes` rows after another; labels mark what was watched."""

    features: F32
    labels: NDArray[np.bool_]
    sizes: NDArray[np.int64]


class _Teaching(NamedTuple):
    """All folds' examples together; `owner` is each row's viewer."""

    features: F32
    labels: F32
    sizes: NDArray[np.int64]
    owner: NDArray[np.int64]


def train_ranker(folds: Sequence[Examples], settings: RankerSettings) -> str | None:
    """LightGBM's text model; None where there is too little to learn from.

    Viewers whose candidates hold no hit, or nothing else, teach nothing and are left out.
    """
    useful = [_useful(fold) for fold in folds]
    if sum(int(fold.labels.sum()) for fold in useful) < settings.least_hits:
        return None
    features = np.concatenate([fold.features for fold in useful])
    labels = np.concatenate([fold.labels for fold in useful]).astype(np.float32)
    sizes = np.concatenate([fold.sizes for fold in useful])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    evenly = 1 / np.sqrt(np.bincount(owner, labels))[owner]  # else those who watch much decide everything
    teaching = _Teaching(features, labels, sizes, owner)
    # Side by side: each keeps to its one thread, so that the trees are the same on any machine.
    with ThreadPoolExecutor(2) as pool:
        ordered = pool.submit(_model, teaching, parameters(settings, "lambdarank"), None, settings.trees)
        odds = pool.submit(_model, teaching, parameters(settings, "binary"), evenly, settings.trees)
        return merged([ordered.result(), odds.result()])


def _model(of: _Teaching, parameters: dict[str, Any], weights: F64 | None, trees: int) -> tuple[str, float]:
    """LightGBM's text, and the factor that makes its scores' spread within a viewer 1."""
    import lightgbm  # noqa: PLC0415 other recipes do not wait for it

    data = lightgbm.Dataset(of.features, of.labels, group=of.sizes, weight=weights, feature_name=list(NAMES))
    booster = lightgbm.train(parameters, data, num_boost_round=trees)
    scores = np.asarray(booster.predict(of.features, raw_score=True, num_threads=1))
    return str(booster.model_to_string()), 1 / max(_spread(scores, of.owner), LEAST_SPREAD)


def _spread(scores: F64, owner: NDArray[np.int64]) -> float:
    """Standard deviation of scores within one viewer's candidates, over all viewers."""
    means = np.bincount(owner, scores) / np.bincount(owner)
    return float(np.sqrt(np.mean((scores - means[owner]) ** 2)))


def _useful(fold: Examples) -> Examples:
    owner = np.repeat(np.arange(len(fold.sizes)), fold.sizes)
    hits = np.bincount(owner, fold.labels, len(fold.sizes))
    keep = (hits > 0) & (hits < fold.sizes)
    return Examples(fold.features[keep[owner]], fold.labels[keep[owner]], fold.sizes[keep])


def parameters(settings: RankerSettings, objective: str) -> dict[str, Any]:
    """What LightGBM is told; one thread and row-wise, so that the same data makes the same trees."""
    return {
        "objective": objective,
        "lambdarank_truncation_level": settings.truncation,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.least_in_leaf,
        "feature_fraction": settings.columns,
        "lambda_l2": settings.l2,
        "monotone_constraints": monotone(),
        "num_threads": 1,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "max_bin": 127,
        "verbosity": -1,
    }
