"""A viewer's history as rows of a bundle: what the bundle knew, and what the serving store saw since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32, I64
from inference.recommender.bundle import ModelBundle


@dataclass(frozen=True, slots=True)
class Profile:
    """One entry a video, oldest first. `viewer_row` is the bundle's row of this viewer, or -1.

    `fresh` says that there are entries the bundle did not know. `values` are ratings, or watched shares if the
    bundle learnt from those; NaN where there is none.
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
        document: `{"watched": [[video_id, occurred_ms, rating or None, share or None], ...]}`; unknown videos are
            left out. Versions before this kept a single value, which is a rating for sure where it is above 1.
    """
    viewer_row = model.histories.viewer_row.get(user_id, -1)
    known = _bundled(model, viewer_row)
    if not document or not document.get("watched"):
        return Profile(*known, viewer_row=viewer_row, fresh=False)
    live = _live(model, document["watched"])
    rows = np.concatenate([known[0], live[0]])
    at_ms = np.concatenate([known[1], live[1]])
    values = np.concatenate([known[2], live[2]])
    keep = _newest(rows, at_ms, len(model.catalogue))
    return Profile(rows[keep], at_ms[keep], values[keep], viewer_row, fresh=len(keep) > len(known[0]))


def _newest(rows: I32, at_ms: I64, videos: int) -> NDArray[np.intp]:
    """The places of every row's newest entry, oldest first; of equally new ones the last."""
    order = at_ms.argsort(kind="stable")
    sorted_rows, places = rows[order], np.arange(len(rows))
    newest = np.empty(videos, np.intp)  # read only where it is written
    newest[sorted_rows] = places  # of several the last stays
    kept: NDArray[np.intp] = order[newest[sorted_rows] == places]
    return kept


def _bundled(model: ModelBundle, viewer_row: int) -> tuple[I32, I64, F32]:
    if viewer_row < 0:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32)
    histories = model.histories
    part = slice(int(histories.indptr[viewer_row]), int(histories.indptr[viewer_row + 1]))
    return histories.videos[part], histories.at_ms[part], histories.values[part]


def _live(model: ModelBundle, watched: list[list[Any]]) -> tuple[I32, I64, F32]:
    row_of = model.catalogue.row_of
    told = _share if model.signals is not None and model.signals.how.shares else _rating
    known = [(row, entry[1], told(entry)) for entry in watched if (row := row_of.get(entry[0])) is not None]
    rows, at_ms, values = zip(*known, strict=True) if known else ((), (), ())
    return np.array(rows, np.int32), np.array(at_ms, np.int64), np.array(values, np.float32)


def _rating(entry: list[Any]) -> float | None:
    value: float | None = entry[2]
    return value if len(entry) == 4 or (value is not None and value > 1) else None


def _share(entry: list[Any]) -> float | None:
    return entry[3] if len(entry) == 4 else None
