"""The demo's viewers: real people's held-out viewing decides what they watch, never the arm that served them.

A viewer looks down the list and may stop at every position. What it finds there it watches with a
probability that depends on its own held-out interactions (what it really watched next), on those of its
neighbours in taste, and on the position. Version and arm are not arguments of anything in this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Probabilities of one look down a list."""

    goes_on: float = 0.88  # the next position is looked at
    own: float = 0.45  # a video this viewer really watched later
    taste: float = 0.06  # a video that its neighbours in taste watched later
    other: float = 0.004  # anything else
    finishes: float = 0.85  # a started video is watched to the end (else it is left at a quarter)


@dataclass(frozen=True, slots=True)
class Watched:
    """One video that a viewer started, at `position` of the list, and how much of it was seen."""

    video_id: str
    position: int
    watch_percentage: float


@dataclass(frozen=True, slots=True)
class Audience:
    """`own` and `taste` map a viewer to the videos it, or its neighbours in taste, watched after the split."""

    own: dict[str, frozenset[str]]
    taste: dict[str, frozenset[str]]
    behaviour: Behaviour = Behaviour()

    @property
    def viewers(self) -> list[str]:
        return list(self.own)

    def look(self, user_id: str, items: Sequence[str], rng: np.random.Generator) -> list[Watched]:
        """What the viewer watches of the list it is shown, in list order."""
        own, taste = self.own.get(user_id, frozenset()), self.taste.get(user_id, frozenset())
        seen: list[Watched] = []
        draws = rng.random((len(items), 3))
        for position, (video_id, draw) in enumerate(zip(items, draws, strict=True)):
            if draw[0] < self._interest(video_id, own, taste):
                finished = draw[1] < self.behaviour.finishes
                seen.append(Watched(video_id, position, 100.0 if finished else 25.0))
            if draw[2] >= self.behaviour.goes_on:
                break
        return seen

    def _interest(self, video_id: str, own: frozenset[str], taste: frozenset[str]) -> float:
        if video_id in own:
            return self.behaviour.own
        return self.behaviour.taste if video_id in taste else self.behaviour.other


def build_audience(
    viewers: Sequence[str],
    history: sparse.csr_matrix,
    held_out: sparse.csr_matrix,
    videos: Sequence[str],
    neighbours: int = 20,
) -> Audience:
    """The audience of a data set that was split per viewer.

    Args:
        viewers: ids in the row order of both matrices.
        history: viewers x videos, nonzero where watched before the split.
        held_out: viewers x videos, nonzero where watched after it.
        videos: ids in column order.
        neighbours: how many viewers alike (cosine over histories) make a viewer's taste; a video belongs to
            it when at least three of them watched it after the split.
    """
    names = np.asarray(videos, dtype=object)
    alike = _nearest(history, neighbours)
    counts = alike @ held_out.astype(bool).astype(np.int32)
    own = {viewer: frozenset(names[_row(held_out, row)]) for row, viewer in enumerate(viewers)}
    taste = {viewer: frozenset(names[_row(counts >= 3, row)]) for row, viewer in enumerate(viewers)}
    return Audience({v: s for v, s in own.items() if s}, taste)


def _row(matrix: sparse.csr_matrix, row: int) -> NDArray[np.int32]:
    start, end = matrix.indptr[row], matrix.indptr[row + 1]
    found: NDArray[np.int32] = matrix.indices[start:end]
    return found


def _nearest(history: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """Viewers x viewers, 1 where the column is one of the row's `count` nearest by cosine."""
    watched = history.astype(bool).astype(np.float32)
    norms = np.sqrt(np.maximum(np.asarray(watched.sum(axis=1)).ravel(), 1))
    unit = sparse.diags(1 / norms) @ watched
    alike = (unit @ unit.T).toarray()
    np.fill_diagonal(alike, -1)
    count = min(count, len(alike) - 1)
    nearest = (
        np.argpartition(-alike, count - 1, axis=1)[:, :count] if count > 0 else np.empty((len(alike), 0), int)
    )
    rows = np.repeat(np.arange(len(alike)), nearest.shape[1])
    shape = (len(alike), len(alike))
    return sparse.csr_matrix((np.ones(rows.size, np.int32), (rows, nearest.ravel())), shape=shape)
