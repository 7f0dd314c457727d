"""What a candidate source knows of every video, asked for in two ways: its best, and the scores of some rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32, Factors
from inference.recommender.largest import largest

Mask = NDArray[np.bool_] | F32
"""What may be shown, (V,). As 0 and 1 of the scores' own type it multiplies faster: for whoever asks several sources."""
FIRST: Final = 4  # videos looked at for each one wanted, before it is asked whether that was enough
LEAST: Final = 256
ROUNDING: Final = 1.0001  # of float32 products, against their bound


class Scores(Protocol):
    """Float32, finite; above 0 is evidence in favour."""

    def best(self, allowed: Mask, quota: int) -> I32:
        """At most `quota` allowed rows with a score above 0, those with the highest; in no order."""
        ...

    def of(self, rows: I32) -> F32:
        """The scores of these rows."""
        ...


@dataclass(frozen=True, slots=True)
class Dense:
    """One score a video: `values` (V,)."""

    values: F32

    def best(self, allowed: Mask, quota: int) -> I32:
        return largest(self.values * allowed, quota).astype(np.int32)

    def of(self, rows: I32) -> F32:
        return self.values.take(rows)


@dataclass(frozen=True, slots=True)
class Products:
    """The product of every video's factor with the viewer's (D,): exact, and hardly any of them is computed.

    No product exceeds that of both lengths, so nothing is looked for among factors too short for the best.
    """

    factors: Factors
    viewer: F32

    def best(self, allowed: Mask, quota: int) -> I32:
        longest = self.factors.by_length
        length = float(np.linalg.norm(self.viewer)) * ROUNDING
        rows, scores = np.empty(0, np.int32), np.empty(0, np.float32)
        at, size = 0, max(FIRST * quota, LEAST)
        while at < len(longest.rows):
            more = longest.rows[at : at + size]
            products = longest.videos[at : at + size] @ self.viewer * allowed[more]
            rows, scores = np.concatenate([rows, more]), np.concatenate([scores, products])
            places = largest(scores, quota)
            rows, scores = rows[places], scores[places]
            at, size = at + size, 2 * size
            if len(rows) == quota and scores.min() >= longest.lengths[at : at + 1].max(initial=0) * length:
                break
        return rows

    def of(self, rows: I32) -> F32:
        return np.asarray(self.factors.videos.take(rows, axis=0) @ self.viewer, np.float32)
