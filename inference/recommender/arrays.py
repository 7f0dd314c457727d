"""The arrays of a model bundle, grouped by what they are for. A video is its row in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.recommender.signals_file import SignalsFile

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
WORTH_A_STRETCH: Final = 200  # entries a row: with fewer, looking each up costs less than slicing


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix by rows: row r has `data[indptr[r]:indptr[r + 1]]` in the columns `indices` beside it."""

    indptr: I64
    indices: I32
    data: F32

    def of(self, rows: I32) -> tuple[I32, F32, I64]:
        """Columns and values of these rows, one row after the other, and how many entries each has."""
        starts, ends = self.indptr[rows], self.indptr[rows + 1]
        lengths = ends - starts
        last = lengths.cumsum()
        entries = int(last[-1]) if len(rows) else 0
        if entries <= WORTH_A_STRETCH * len(rows):
            at = np.arange(entries) + np.repeat(ends - last, lengths)
            return self.indices.take(at), self.data.take(at), lengths
        # Whole stretches are copied several times faster than entries one by one, once they are long.
        parts = [slice(*of) for of in zip(starts.tolist(), ends.tolist(), strict=True)]
        columns = np.concatenate([self.indices[part] for part in parts])
        return columns, np.concatenate([self.data[part] for part in parts]), lengths


@dataclass(frozen=True, slots=True)
class ByLength:
    """Factors (V, D) once more, the longest first, with their rows and lengths (V,)."""

    videos: F32
    rows: I32
    lengths: F32


@dataclass(frozen=True, slots=True)
class Factors:
    """ALS factors; `gram` is videos' transposed times videos, what a fold-in needs of the catalogue.

    Without `viewers` every viewer is folded in.
    """

    videos: F32
    viewers: F32 | None
    gram: F32
    by_length: ByLength

    @classmethod
    def of(cls, videos: F32, viewers: F32 | None) -> Factors:
        """The factors (V, D) and (viewers, D) with what serving makes of them."""
        lengths = np.sqrt(np.square(videos).sum(axis=1))
        order = np.argsort(-lengths, kind="stable")
        by_length = ByLength(videos[order], order.astype(np.int32), lengths[order])
        return cls(videos, viewers, videos.T @ videos, by_length)


@dataclass(frozen=True, slots=True)
class Towers:
    """A two-tower model: `videos` (V, D), and the viewer tower's `hidden` (D, H) and `out` (H, D) with biases."""

    videos: F32
    hidden: F32
    hidden_bias: F32
    out: F32
    out_bias: F32


@dataclass(frozen=True, slots=True)
class Histories:
    """What each viewer had watched as of the bundle, oldest first, in compressed rows."""

    viewer_row: dict[str, int]
    indptr: I64
    videos: I32
    at_ms: I64
    values: F32


@dataclass(frozen=True, slots=True)
class Trends:
    """Decayed counts per half-life (H, V) as of the bundle, with counts and mean ratings of all time."""

    half_lives_days: F64
    scores: F32
    popularity: F32
    rating_mean: F32


@dataclass(frozen=True, slots=True)
class Crowd:
    """Viewers who may be alike to the one asking.

    `watchers` has one row a video: who watched it, weighted so that a sum over a history is a cosine;
    `idf` (V,) weighs the history. `recent` (C, L) is what each of the crowd watched last, newest first,
    -1 where there is less, and `recent_days` (C, L) how long before the bundle's time.
    """

    watchers: SparseRows
    idf: F32
    recent: I32
    recent_days: F32


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What the ranker is told of each video besides its trends.

    `regulars` (R, V) are decayed counts among viewers with a history: newcomers all start with the same few
    videos. `seen_ms` (3, V) is when it was watched first, for the tenth time and last, -1 for never.
    `rating` is the mean in standard deviations, pulled to 0 where there are few; `rating_spread` theirs.
    """

    regular_half_lives_days: F64
    regulars: F32
    seen_ms: I64
    rating: F32
    rating_spread: F32


@dataclass(frozen=True, slots=True)
class Signals:
    """What the sources behind a ranker read, over and above what every bundle has."""

    how: SignalsFile
    factors_recent: Factors
    ease: SparseRows
    covisitation_recent: SparseRows
    crowd: Crowd
    facts: VideoFacts
