"""Splits in time: what is trained on lies before, what is asked lies after, for everybody at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY
from training.dataset import I32, Dataset

MIN_HISTORY = 5
WEEK_MS = 7 * DAY


@dataclass(frozen=True, slots=True)
class Split:
    """`past` ends where `split_ms` begins. `wanted[viewer row]` are video rows watched later, for the first time.

    Only viewers with at least five interactions in the past, and videos known in the past, are asked for:
    what nobody had touched before the split would give the future away.
    """

    split_ms: int
    past: Dataset
    wanted: dict[int, I32]


def split_at(dataset: Dataset, split_ms: int, min_history: int = MIN_HISTORY) -> Split:
    """The global split at one time."""
    past, later = dataset.before(split_ms), dataset.since(split_ms)
    history = np.bincount(past.viewer, minlength=len(dataset.viewers))
    known = np.bincount(past.video, minlength=len(dataset.videos)) > 0
    asked = (history[later.viewer] >= min_history) & known[later.video] & ~_watched(past, later)
    viewer, video = later.viewer[asked], later.video[asked]
    order = np.argsort(viewer, kind="stable")
    rows, starts = np.unique(viewer[order], return_index=True)
    parts = np.split(video[order], starts[1:]) if len(rows) else []
    return Split(split_ms, past, dict(zip(rows.tolist(), parts, strict=True)))


def _watched(past: Dataset, later: Dataset) -> NDArray[np.bool_]:
    """Which of the later interactions are with a video that the viewer had watched before."""
    if not len(later.earlier):  # nobody came back to anything
        return np.zeros(len(later), np.bool_)
    wide = len(past.videos)
    return np.isin(later.viewer * np.int64(wide) + later.video, past.viewer * np.int64(wide) + past.video)


def split_share(dataset: Dataset, share: float) -> Split:
    """The global split before which `share` of the interactions lie."""
    return split_at(dataset, int(np.quantile(dataset.at_ms, share)))


def sampled(split: Split, most: int, seed: int = 7) -> Split:
    """The split with at most `most` of its viewers, drawn evenly."""
    if len(split.wanted) <= most:
        return split
    chosen = np.sort(np.random.default_rng(seed).choice(list(split.wanted), most, replace=False))
    return replace(split, wanted={viewer: split.wanted[viewer] for viewer in chosen.tolist()})


def period_of(dataset: Dataset) -> int:
    """Milliseconds between folds: whole weeks (same weekday and hour), or less where the data has few of them."""
    span = int(dataset.at_ms[-1] - dataset.at_ms[0]) if len(dataset) else 0
    if span >= 6 * WEEK_MS:
        return WEEK_MS
    return DAY if span >= 6 * DAY else max(span // 12, 1)


def rolling(dataset: Dataset, shares: tuple[float, ...], period_ms: int = 1) -> list[Split]:
    """Splits one after the other, a whole number of periods before the end, those that ask nobody left out.

    Each is asked for what came up to the next, so that no interaction is asked for twice.
    """
    end = dataset.newest_ms + 1
    back = [round((end - float(np.quantile(dataset.at_ms, share))) / period_ms) for share in shares]
    times = [end - periods * period_ms for periods in sorted({0, *back}, reverse=True)]
    splits = [split_at(dataset.before(end), start) for start, end in pairwise(times)]
    return [split for split in splits if split.wanted]
