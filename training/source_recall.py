"""What each candidate source finds by itself, and all of them together: no ranker can show what none proposes."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommender
from training.splits import Split, sampled

ALL: Final = "union"
MAX_ASKED: Final = 300  # viewers


def source_recall(model: ModelBundle, split: Split) -> dict[str, float]:
    """Mean share of what was watched after the split that a source proposed, by name, and of their union."""
    recommender, asked = Recommender(model), sampled(split, MAX_ASKED)
    totals: dict[str, float] = {}
    for viewer, wanted in asked.wanted.items():
        proposed = recommender.proposed(Request(split.past.viewers[viewer]), split.split_ms)
        every = np.concatenate([np.empty(0, np.int32), *proposed.values()])
        for name, rows in {**proposed, ALL: every}.items():
            totals[name] = totals.get(name, 0.0) + float(np.isin(wanted, rows).mean())
    return {name: round(total / len(asked.wanted), 4) for name, total in totals.items()}
