"""The crowd: whose history may be alike to a viewer's, and what each of them watched lately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, csr_array

from core.clock import DAY
from inference.recommender.arrays import F32, I64, Crowd, Histories, SparseRows
from training.dataset import Dataset
from training.history import histories


@dataclass(frozen=True, slots=True)
class CrowdSettings:
    """At most `viewers`, those seen last, each with the last `recent` videos."""

    viewers: int = 50_000
    recent: int = 30


def train_crowd(dataset: Dataset, settings: CrowdSettings, as_of_ms: int) -> Crowd:
    """Everybody who watched two videos or more; with too many, those seen last."""
    history = histories(dataset)
    kept = _members(history, settings.viewers)
    watched = np.bincount(dataset.video, minlength=len(dataset.videos))
    active = int((np.diff(history.indptr) > 0).sum())
    idf = np.log((1 + active) / (1 + watched)).astype(np.float32)
    back = history.indptr[kept + 1][:, None] - 1 - np.arange(settings.recent)
    there = back >= history.indptr[kept][:, None]
    back = np.where(there, back, 0)
    days = (as_of_ms - history.at_ms[back]) / DAY
    return Crowd(
        watchers=_watchers(dataset, idf, kept),
        idf=idf,
        recent=np.where(there, history.videos[back], -1).astype(np.int32),
        recent_days=np.where(there, days, 0).astype(np.float32),
    )


def _members(history: Histories, most: int) -> I64:
    counts = np.diff(history.indptr)
    members = np.flatnonzero(counts >= 2)
    last = history.at_ms[history.indptr[members + 1] - 1]
    return members[np.argsort(-last, kind="stable")[:most]].astype(np.int64)


def _watchers(dataset: Dataset, idf: F32, members: I64) -> SparseRows:
    """Row v: who watched v, the video's idf over the length of that viewer's whole history."""
    shape = (len(dataset.viewers), len(dataset.videos))
    rows = csr_array((idf[dataset.video], (dataset.viewer, dataset.video)), shape=shape)[members]
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    rows.data /= np.maximum(np.repeat(lengths, np.diff(rows.indptr)), 1e-9).astype(np.float32)
    columns = csc_array(rows)
    return SparseRows(
        columns.indptr.astype(np.int64), columns.indices.astype(np.int32), columns.data.astype(np.float32)
    )
