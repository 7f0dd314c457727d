"""One frozen value for all training data: who watched what, when, and how it was rated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import InvalidInputError

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Videos:
    """The catalogue as equally long columns; a video's row is its index. `added_ms` is -1 where unknown."""

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    years: tuple[int | None, ...]
    genres: tuple[tuple[str, ...], ...]
    overviews: tuple[str, ...]
    added_ms: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Interactions as columns of rows, oldest first, each viewer and video together at most once.

    `viewers[viewer[i]]` watched `videos.ids[video[i]]` at `at_ms[i]`; `value[i]` is a rating or the watched
    share, NaN where there is none. `warnings` says in words what the source lacked.
    """

    viewers: tuple[str, ...]
    videos: Videos
    viewer: I32
    video: I32
    at_ms: I64
    value: F32
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.viewer)

    @property
    def newest_ms(self) -> int:
        """The time of the last interaction."""
        return int(self.at_ms[-1])

    def before(self, split_ms: int) -> Dataset:
        """The interactions before `split_ms`; viewers and videos keep their rows."""
        return self._part(slice(0, int(np.searchsorted(self.at_ms, split_ms))))

    def since(self, split_ms: int) -> Dataset:
        """The interactions at or after `split_ms`; viewers and videos keep their rows."""
        return self._part(slice(int(np.searchsorted(self.at_ms, split_ms)), len(self)))

    def where(self, kept: NDArray[np.bool_]) -> Dataset:
        """The interactions where `kept`; viewers and videos keep their rows."""
        return self._part(kept)

    def shifted(self, by_ms: int) -> Dataset:
        """The same data with one constant added to every time."""
        added = tuple(at + by_ms if at >= 0 else at for at in self.videos.added_ms)
        return replace(self, at_ms=self.at_ms + by_ms, videos=replace(self.videos, added_ms=added))

    def digest(self) -> str:
        """SHA-256 over every column: equal data has an equal digest, whatever file it came from."""
        total = hashlib.sha256()
        for texts in (self.viewers, self.videos.ids, self.videos.titles, self.videos.overviews):
            total.update("\0".join(texts).encode("utf-8", "surrogatepass") + b"\1")
        total.update(repr((self.videos.years, self.videos.genres)).encode("utf-8", "surrogatepass"))
        for column in (self.viewer, self.video, self.at_ms, self.value):
            total.update(np.ascontiguousarray(column).tobytes())
        return f"sha256:{total.hexdigest()}"

    def _part(self, part: slice | NDArray[np.bool_]) -> Dataset:
        return replace(
            self,
            viewer=self.viewer[part],
            video=self.video[part],
            at_ms=self.at_ms[part],
            value=self.value[part],
        )


def make_dataset(
    videos: Videos,
    user_ids: Sequence[str],
    video_ids: Sequence[str],
    at_ms: Sequence[int] | I64,
    values: Sequence[float | None] | F32,
) -> Dataset:
    """Order, de-duplicate and check raw columns.

    Of several interactions of one viewer with one video the newest stays, as in a viewer's profile. What
    names an unknown video is left out with a warning.

    Raises:
        InvalidInputError: no videos, a video twice, no interaction with a known video, or a time below 0.
    """
    _check_videos(videos)
    video = pd.Index(videos.ids, dtype=object).get_indexer(pd.Index(video_ids, dtype=object)).astype(np.int32)
    known = video >= 0
    if not known.any():
        raise InvalidInputError("no interaction with a video of the catalogue: there is nothing to train on")
    viewers, viewer = _numbered(user_ids, known)
    times = np.asarray(at_ms, np.int64)[known]
    if times.min() < 0:
        raise InvalidInputError(f"an interaction at {times.min()} ms, before 1970")
    scores = np.array([np.nan if v is None else v for v in values], np.float32)[known]
    scores[~np.isfinite(scores)] = np.nan
    keep = _newest(viewer, video[known], times)
    dataset = Dataset(viewers, videos, viewer[keep], video[known][keep], times[keep], scores[keep])
    return replace(dataset, warnings=tuple(_warnings(dataset, int((~known).sum()))))


def _check_videos(videos: Videos) -> None:
    if not len(videos):
        raise InvalidInputError("no videos: there is nothing to recommend")
    if len(set(videos.ids)) != len(videos):
        twice = next(v for v in videos.ids if videos.ids.count(v) > 1)
        raise InvalidInputError(f"video {twice!r} is listed twice")


def _numbered(user_ids: Sequence[str], known: NDArray[np.bool_]) -> tuple[tuple[str, ...], I32]:
    """Viewers in order of their ids, so that rows do not depend on the order of the file."""
    kept = np.array(user_ids, dtype=object)[known]
    rows, viewers = pd.factorize(kept, sort=True)
    return tuple(viewers.tolist()), rows.astype(np.int32)


def _newest(viewer: I32, video: I32, at_ms: I64) -> I64:
    """Indices that keep each pair's newest interaction, in order of time; at equal times the order given."""
    order = np.argsort(at_ms, kind="stable")
    pair = viewer[order].astype(np.int64) * (int(video.max()) + 1) + video[order]
    _, first_from_end = np.unique(pair[::-1], return_index=True)
    kept: I64 = order[np.sort(len(order) - 1 - first_from_end)]
    return kept


def _warnings(dataset: Dataset, unknown: int) -> list[str]:
    found = []
    if unknown:
        found.append(f"{unknown} interactions name a video that the catalogue lacks: left out")
    if not any(dataset.videos.genres):
        found.append("no video has a genre: texts and filters do without")
    if np.isnan(dataset.value).all():
        found.append("no ratings or watched shares: every interaction counts alike")
    if dataset.at_ms[0] == dataset.at_ms[-1]:
        found.append("all times are equal: no trend, no order of watching, no offline evaluation")
    if len(dataset.viewers) < 2:
        found.append("one viewer only: nobody to learn from but this one")
    if len(dataset) == len(dataset.viewers):
        found.append("no viewer watched more than one video: nothing personal can be learnt")
    return found
