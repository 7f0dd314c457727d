"""Interactions in order of viewer, then time: what histories and co-visitation are made from."""

from __future__ import annotations

import numpy as np

from inference.recommender.arrays import Histories
from training.dataset import I32, I64, Dataset


def viewer_order(dataset: Dataset) -> I64:
    """Indices that put interactions in order of viewer row, oldest first within one."""
    order: I64 = np.argsort(dataset.viewer, kind="stable")
    return order


def by_viewer(dataset: Dataset) -> tuple[I32, I32]:
    """Viewer and video rows in that order."""
    order = viewer_order(dataset)
    return dataset.viewer[order], dataset.video[order]


def histories(dataset: Dataset) -> Histories:
    """Every viewer's history in compressed rows, as a bundle keeps it."""
    order = viewer_order(dataset)
    counts = np.bincount(dataset.viewer, minlength=len(dataset.viewers))
    return Histories(
        viewer_row={viewer: row for row, viewer in enumerate(dataset.viewers)},
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        videos=dataset.video[order],
        at_ms=dataset.at_ms[order],
        values=dataset.value[order],
    )
