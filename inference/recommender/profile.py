"""A viewer's history as rows of a bundle: what the bundle knew, and what the serving store saw since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.recommender.arrays import F32, I32, I64
from inference.recommender.bundle import ModelBundle


@dataclass(frozen=True, slots=True)
class Profile:
    """One entry a video, oldest first. `viewer_row` is the bundle's row of this viewer, or -1.

    `fresh` says that there are entries the bundle did not know. `values` are ratings or watched shares,
    NaN where there is none.
    """

    rows: I32
    at_ms: I64
    values: F32
    viewer_row: int
    fresh: bool


def profile_of(model: ModelBundle, user_id: str, document: Mapping[str, Any] | None) -> Profile:
    """Merge the bundle's history of a viewer with the profile document of the serving store, if any.

    Args:
        model: the bundle.
        user_id: the viewer; unknown ones have an empty history.
        document: `{"watched": [[video_id, occurred_ms, value or None], ...]}`; unknown videos are left out.
    """
    viewer_row = model.histories.viewer_row.get(user_id, -1)
    known = _bundled(model, viewer_row)
    if not document or not document.get("watched"):
        return Profile(*known, viewer_row=viewer_row, fresh=False)
    live = _live(model, document["watched"])
    rows = np.concatenate([known[0], live[0]])
    at_ms = np.concatenate([known[1], live[1]])
    values = np.concatenate([known[2], live[2]])
    order = np.argsort(at_ms, kind="stable")[::-1]
    _, newest = np.unique(rows[order], return_index=True)
    keep = order[np.sort(newest)][::-1]
    return Profile(rows[keep], at_ms[keep], values[keep], viewer_row, fresh=len(keep) > len(known[0]))


def _bundled(model: ModelBundle, viewer_row: int) -> tuple[I32, I64, F32]:
    if viewer_row < 0:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32)
    histories = model.histories
    part = slice(int(histories.indptr[viewer_row]), int(histories.indptr[viewer_row + 1]))
    return histories.videos[part], histories.at_ms[part], histories.values[part]


def _live(model: ModelBundle, watched: list[list[Any]]) -> tuple[I32, I64, F32]:
    row_of = model.catalogue.row_of
    known = [(row_of[v], at, value) for v, at, value in watched if v in row_of]
    rows = np.array([row for row, _, _ in known], np.int32)
    at_ms = np.array([at for _, at, _ in known], np.int64)
    values = np.array([np.nan if value is None else value for _, _, value in known], np.float32)
    return rows, at_ms, values
