"""The offline evaluation of a recipe: trained before splits in time, asked for what came after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from storage.offline import OfflineReport, question_of, viewer_hashes
from training.dataset import F32, Dataset
from training.evaluation import Evaluation, evaluate, evaluate_ranking
from training.replay import Replay
from training.source_recall import source_recall
from training.splits import Split, period_of, rolling, sampled
from training.trending import HALF_LIVES_DAYS, trends

LARGE: Final = 2_000_000  # interactions: from here on one fold and one split have viewers enough
MAX_EVALUATED: Final = 1_000  # viewers per split
FOLDS_EVALUATED: Final = 3  # that a ranker under evaluation learns from; the published one has more
FOLDS_OF_TRENDING: Final = 3  # that choose a half-life: what trended longer ago tells of other times
MAX_SAMPLED: Final = 400  # viewers per fold for the choice of a half-life


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the data is cut: weights are chosen on `folds`, all before the first of the evaluation's splits."""

    folds: list[Split]
    splits: list[Split]


def plan_of(dataset: Dataset) -> Plan:
    """Cut off what the evaluation asks for, and folds for the weights out of what lies before.

    Few viewers of a small data set come back after a split in time, so there are several splits.
    """
    large = len(dataset) > LARGE
    splits = rolling(dataset, (0.9,) if large else (0.6, 0.7, 0.8, 0.9), period_of(dataset))
    first = splits[0].split_ms if splits else dataset.newest_ms + 1
    before = dataset.before(first)
    folds = rolling(before, (0.85,) if large else (0.5, 0.65, 0.8)) if len(before) else []
    return Plan(folds, [sampled(split, MAX_EVALUATED) for split in splits])


def evaluate_offline(
    dataset: Dataset, plan: Plan, replay: Replay, version: str
) -> tuple[OfflineReport, dict[str, Any]]:
    """The recipe trained before each split, against what came after, beside trending and popularity.

    The trending list has the half-life that was best on the folds just before the split.
    `sources` (recall of each, and of their union) and the ranker's `importance` are of the last split.
    """
    half_lives: list[int] = []
    ours: list[Evaluation] = []
    trending: list[Evaluation] = []
    popularity: list[Evaluation] = []
    sources: dict[str, float] = {}
    importance: dict[str, float] = {}
    for split in plan.splits:
        model = replay.model(split.split_ms, split.split_ms, FOLDS_EVALUATED)
        ours.append(evaluate(model, split))
        if split is plan.splits[-1]:
            sources = source_recall(model, split)
            importance = model.ranker.importance() if model.ranker else {}
        half_lives.append(best_half_life(replay.last_folds(split.split_ms, FOLDS_OF_TRENDING)))
        trending.append(evaluate_ranking(model.trends.scores[half_lives[-1]], split))
        popularity.append(evaluate_ranking(model.trends.popularity, split))
    question = question_of(dataset.digest(), [split.split_ms for split in plan.splits])
    report = _report(dataset, version, question, (ours, trending, popularity))
    summary = {
        "question": question,
        "splits_ms": [split.split_ms for split in plan.splits],
        "trending_half_lives_days": [HALF_LIVES_DAYS[place] for place in half_lives],
        "blend": {"sources": dict(replay.recipe.sources), "half_life_days": replay.recipe.half_life_days},
        "model": [found.summary() for found in ours],
        "trending": [found.summary() for found in trending],
        "popularity": [found.summary() for found in popularity],
        "sources": sources,
        "importance": importance,
    }
    return report, summary


def best_half_life(folds: Sequence[Split]) -> int:
    """Index of the half-life whose trending list alone does best on the folds; two weeks without any."""
    if not folds:
        return HALF_LIVES_DAYS.index(16.0)
    means = np.zeros(len(HALF_LIVES_DAYS))
    for fold in folds:
        small = sampled(fold, MAX_SAMPLED)
        scores = trends(small.past, small.split_ms).scores
        means += [float(evaluate_ranking(of, small).ndcg.sum()) for of in scores]
    return int(np.argmax(means))


def _report(
    dataset: Dataset, version: str, question: str, found: tuple[list[Evaluation], ...]
) -> OfflineReport:
    """Per viewer the mean over the splits that asked for it, in order of the viewers' hashes."""
    asked = np.concatenate([np.empty(0, np.int32), *(part.viewers for part in found[0])])
    rows, place = np.unique(asked, return_inverse=True)
    hashes = viewer_hashes([dataset.viewers[row] for row in rows.tolist()])
    order = np.argsort(hashes)
    means = [_mean_by_viewer(parts, place, len(rows))[order] for parts in found]
    return OfflineReport(version, question, hashes[order], *means)


def _mean_by_viewer(parts: Sequence[Evaluation], place: Any, viewers: int) -> F32:
    figures = np.concatenate([np.empty(0, np.float32), *(part.ndcg for part in parts)])
    counts = np.bincount(place, minlength=viewers)
    return np.asarray(np.bincount(place, figures, viewers) / np.maximum(counts, 1), np.float32)


def headline(summary: dict[str, Any]) -> str:
    """The figures of `evaluate_offline` in one line."""
    asked = [part["viewers"] for part in summary["model"]]
    if not sum(asked):
        return "offline evaluation: no viewer came back after a split in time, so nothing can be told"
    means = {
        name: sum(part["ndcg@20"] * n for part, n in zip(summary[name], asked, strict=True)) / sum(asked)
        for name in ("model", "trending", "popularity")
    }
    figures = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    return f"offline NDCG@20 over {sum(asked)} viewers at {len(asked)} splits: {figures}"
