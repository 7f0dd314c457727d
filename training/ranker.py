"""A LightGBM model over the folds' examples, monotone in shares and places: the odds that a candidate is watched.

Among the candidates of one viewer the order of the odds is the list. LambdaRank, which looks at the top of each list
alone, is unsteady where few viewers hit, and its sum with the odds is within chance of them at twice the trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32
from inference.recommender.features import NAMES, monotone


@dataclass(frozen=True, slots=True)
class RankerSettings:
    """How the past is replayed, and LightGBM's parameters. Many small folds: any two weeks trend differently.

    A fold asks at most `viewers_per_fold` viewers with `least_history` interactions or more; with `viewers`
    in total no more folds are made. A fold's past holds at least `least_past` of all interactions, and with
    fewer than `least_hits` hits in all there is no ranker. Each tree sees shares `columns` of the features and
    `rows` of the examples.
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
    rows: float = 0.5
    l2: float = 5.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Examples:
    """Candidates of many viewers, one block of `sizes` rows after another; labels mark what was watched."""

    features: F32
    labels: NDArray[np.bool_]
    sizes: NDArray[np.int64]


def train_ranker(folds: Sequence[Examples], settings: RankerSettings) -> str | None:
    """LightGBM's text model; None where there is too little to learn from.

    Viewers whose candidates hold no hit, or nothing else, teach nothing and are left out.
    """
    useful = [_useful(fold) for fold in folds]
    if sum(int(fold.labels.sum()) for fold in useful) < settings.least_hits:
        return None
    import lightgbm  # noqa: PLC0415 other recipes do not wait for it

    features = np.concatenate([fold.features for fold in useful])
    labels = np.concatenate([fold.labels for fold in useful]).astype(np.float32)
    sizes = np.concatenate([fold.sizes for fold in useful])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    evenly = 1 / np.sqrt(np.bincount(owner, labels))[owner]  # else those who watch much decide everything
    data = lightgbm.Dataset(features, labels, weight=evenly, feature_name=list(NAMES))
    booster = lightgbm.train(parameters(settings), data, num_boost_round=settings.trees)
    return str(booster.model_to_string())


def _useful(fold: Examples) -> Examples:
    owner = np.repeat(np.arange(len(fold.sizes)), fold.sizes)
    hits = np.bincount(owner, fold.labels, len(fold.sizes))
    keep = (hits > 0) & (hits < fold.sizes)
    return Examples(fold.features[keep[owner]], fold.labels[keep[owner]], fold.sizes[keep])


def parameters(settings: RankerSettings) -> dict[str, Any]:
    """What LightGBM is told; one thread and row-wise, so that the same data makes the same trees."""
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.least_in_leaf,
        "feature_fraction": settings.columns,
        "bagging_fraction": settings.rows,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "monotone_constraints": monotone(),
        "num_threads": 1,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "max_bin": 127,
        "verbosity": -1,
    }
