"""Offline evaluation: what the serving code would have shown at a split in time, against what was watched later.

Full catalogue, watched videos excluded, every viewer counts alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommender
from training.dataset import F32, I32
from training.splits import Split

COUNT: Final = 20
COLD_BELOW: Final = 10  # a video with fewer interactions before the split counts as cold
DISCOUNT: Final = 1 / np.log2(np.arange(2, COUNT + 2))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one model at one split; the arrays have one entry a viewer, in the order of `viewers`."""

    viewers: I32
    ndcg: F32
    recall: F32
    hit10: F32
    coverage: float
    cold_share: float
    gini: float

    def summary(self) -> dict[str, Any]:
        """Means and catalogue figures by name, for the manifest."""
        return {
            "viewers": len(self.viewers),
            "ndcg@20": _mean(self.ndcg),
            "recall@20": _mean(self.recall),
            "hit@10": _mean(self.hit10),
            "coverage@20": round(self.coverage, 4),
            "cold_share": round(self.cold_share, 4),
            "gini": round(self.gini, 4),
        }


def evaluate(model: ModelBundle, split: Split) -> Evaluation:
    """Ask the model for every viewer of the split, as of the split."""
    recommender = Recommender(model)
    return score({viewer: _shown(recommender, split, viewer) for viewer in split.wanted}, split)


def evaluate_ranking(values: F32, split: Split) -> Evaluation:
    """The same figures for one list for everybody, the highest values first: a baseline."""
    order = np.argsort(-values, kind="stable").astype(np.int32)
    watched = _watched(split)
    return score({viewer: _first_of(order, watched[viewer]) for viewer in split.wanted}, split)


def _first_of(order: I32, watched: I32) -> I32:
    head = order[: len(watched) + COUNT]
    return head[~np.isin(head, watched)][:COUNT]


def score(shown: dict[int, I32], split: Split) -> Evaluation:
    """Compare the rows shown to each viewer with what the viewer watched after the split."""
    viewers = np.fromiter(split.wanted, np.int32, len(split.wanted))
    hits = np.zeros((len(viewers), COUNT))
    sizes = np.zeros(len(viewers), np.int64)
    for place, viewer in enumerate(viewers.tolist()):
        rows = shown[viewer][:COUNT]
        hits[place, : len(rows)] = np.isin(rows, split.wanted[viewer])
        sizes[place] = len(split.wanted[viewer])
    ideal = np.cumsum(DISCOUNT)[np.minimum(sizes, COUNT) - 1]
    counts = np.bincount(np.concatenate(list(shown.values())), minlength=len(split.past.videos))
    popularity = np.bincount(split.past.video, minlength=len(split.past.videos))
    return Evaluation(
        viewers=viewers,
        ndcg=(hits @ DISCOUNT / ideal).astype(np.float32),
        recall=(hits.sum(axis=1) / sizes).astype(np.float32),
        hit10=np.asarray(hits[:, :10].any(axis=1), np.float32),
        coverage=float((counts > 0).mean()),
        cold_share=float(counts[popularity < COLD_BELOW].sum() / max(1, counts.sum())),
        gini=gini(counts),
    )


def gini(counts: NDArray[np.int64]) -> float:
    """0: every video is shown equally often; 1: one video takes everything."""
    ordered = np.sort(counts).astype(np.float64)
    total = ordered.sum()
    if total == 0:
        return 0.0
    places = np.arange(1, len(ordered) + 1)
    return float((2 * places - len(ordered) - 1) @ ordered / (len(ordered) * total))


def _shown(recommender: Recommender, split: Split, viewer: int) -> I32:
    request = Request(split.past.viewers[viewer], COUNT)
    answer = recommender.recommend(request, None, None, split.split_ms)
    return recommender.model.catalogue.rows([item.video_id for item in answer.items])


def _watched(split: Split) -> dict[int, I32]:
    order = np.argsort(split.past.viewer, kind="stable")
    ends = np.cumsum(np.bincount(split.past.viewer, minlength=len(split.past.viewers)))
    parts = np.split(split.past.video[order], ends[:-1])
    return {viewer: parts[viewer] for viewer in split.wanted}


def _mean(values: F32) -> float:
    return round(float(values.mean()), 4) if len(values) else 0.0
