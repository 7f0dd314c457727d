"""One frozen value for all training data: who watched what, when, and how it was rated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import InvalidInputError

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
NEVER: Final = -1


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
class Earlier:
    """Interactions, oldest first, of viewers who came back to the same video at `again_ms`.

    A data set cut at a time between the two has the earlier one: watched it was.
    """

    viewer: I32
    video: I32
    at_ms: I64
    value: F32
    again_ms: I64

    def __len__(self) -> int:
        return len(self.viewer)

    def where(self, kept: NDArray[np.bool_]) -> Earlier:
        """Those where `kept`."""
        return Earlier(
            self.viewer[kept], self.video[kept], self.at_ms[kept], self.value[kept], self.again_ms[kept]
        )


def _none_earlier() -> Earlier:
    rows, times = np.empty(0, np.int32), np.empty(0, np.int64)
    return Earlier(rows, rows, times, np.empty(0, np.float32), times)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Interactions as columns of rows, oldest first, each viewer and video together at most once.

    `viewers[viewer[i]]` watched `videos.ids[video[i]]` at `at_ms[i]`; `value[i]` is a rating, or with `shares`
    the watched share, NaN where there is none. `warnings` says in words what the source lacked. `earlier` are
    those that a newer one of the same viewer and video stands for.
    """

    viewers: tuple[str, ...]
    videos: Videos
    viewer: I32
    video: I32
    at_ms: I64
    value: F32
    warnings: tuple[str, ...] = ()
    earlier: Earlier = field(default_factory=_none_earlier)
    shares: bool = False

    def __len__(self) -> int:
        return len(self.viewer)

    @property
    def newest_ms(self) -> int:
        """The time of the last interaction."""
        return int(self.at_ms[-1])

    def before(self, split_ms: int) -> Dataset:
        """The data as it was at `split_ms`; viewers and videos keep their rows."""
        part, earlier = self._part(slice(0, int(np.searchsorted(self.at_ms, split_ms)))), self.earlier
        if not len(earlier):
            return part
        newest = earlier.where((earlier.at_ms < split_ms) & (earlier.again_ms >= split_ms))
        return replace(part._with(newest), earlier=earlier.where(earlier.again_ms < split_ms))

    def since(self, split_ms: int) -> Dataset:
        """The newest interactions, at or after `split_ms`; viewers and videos keep their rows."""
        return self._part(slice(int(np.searchsorted(self.at_ms, split_ms)), len(self)))

    def where(self, kept: NDArray[np.bool_]) -> Dataset:
        """The interactions where `kept`; viewers and videos keep their rows."""
        return self._part(kept)

    def shifted(self, by_ms: int) -> Dataset:
        """The same data with one constant added to every time."""
        added = tuple(at + by_ms if at >= 0 else at for at in self.videos.added_ms)
        earlier = self.earlier
        return replace(
            self,
            at_ms=self.at_ms + by_ms,
            videos=replace(self.videos, added_ms=added),
            earlier=replace(earlier, at_ms=earlier.at_ms + by_ms, again_ms=earlier.again_ms + by_ms),
        )

    def digest(self) -> str:
        """SHA-256 over every column: equal data has an equal digest, whatever file it came from."""
        total = hashlib.sha256()
        for texts in (self.viewers, self.videos.ids, self.videos.titles, self.videos.overviews):
            total.update("\0".join(texts).encode("utf-8", "surrogatepass") + b"\1")
        total.update(repr((self.videos.years, self.videos.genres)).encode("utf-8", "surrogatepass"))
        earlier = self.earlier
        columns = [self.viewer, self.video, self.at_ms, self.value]
        for column in (*columns, earlier.viewer, earlier.video, earlier.at_ms, earlier.value):
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

    def _with(self, more: Earlier) -> Dataset:
        order = np.argsort(np.concatenate([self.at_ms, more.at_ms]), kind="stable")
        return replace(
            self,
            viewer=np.concatenate([self.viewer, more.viewer])[order],
            video=np.concatenate([self.video, more.video])[order],
            at_ms=np.concatenate([self.at_ms, more.at_ms])[order],
            value=np.concatenate([self.value, more.value])[order],
        )


def make_dataset(
    videos: Videos,
    user_ids: Sequence[str],
    video_ids: Sequence[str],
    at_ms: Sequence[int] | I64,
    values: Sequence[float | None] | F32,
) -> Dataset:
    """Order, de-duplicate and check raw columns.

    Of several interactions of one viewer with one video the newest counts, as in a viewer's profile; the others
    are `earlier`. What names no viewer or an unknown video is left out with a warning.

    Raises:
        InvalidInputError: no videos, a video twice, no interaction with a known video, or a time below 0.
    """
    _check_videos(videos)
    video = pd.Index(videos.ids, dtype=object).get_indexer(pd.Index(video_ids, dtype=object)).astype(np.int32)
    named = np.fromiter(map(bool, user_ids), np.bool_, len(user_ids))
    known = named & (video >= 0)
    if not known.any():
        raise InvalidInputError("no interaction with a video of the catalogue: there is nothing to train on")
    viewers, viewer = _numbered(user_ids, known)
    times = np.asarray(at_ms, np.int64)[known]
    if times.min() < 0:
        raise InvalidInputError(f"an interaction at {times.min()} ms, before 1970")
    scores = np.array([np.nan if v is None else v for v in values], np.float32)[known]
    scores[~np.isfinite(scores)] = np.nan
    every = _in_order(viewer, video[known], times, scores)
    newest = every.where(every.again_ms == NEVER)
    dataset = Dataset(
        viewers,
        videos,
        newest.viewer,
        newest.video,
        newest.at_ms,
        newest.value,
        earlier=every.where(every.again_ms != NEVER),
    )
    return replace(dataset, warnings=tuple(_warnings(dataset, int((~named).sum()), int((video < 0).sum()))))


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


def _in_order(viewer: I32, video: I32, at_ms: I64, value: F32) -> Earlier:
    """All of them, oldest first, at equal times in the order given; `NEVER` again where none of the pair follows."""
    order = np.argsort(at_ms, kind="stable")
    viewer, video, at_ms = viewer[order], video[order], at_ms[order]
    pair = viewer.astype(np.int64) * (int(video.max()) + 1) + video
    together = np.argsort(pair, kind="stable")
    followed = np.flatnonzero(np.diff(pair[together]) == 0)
    again_ms = np.full(len(order), NEVER, np.int64)
    again_ms[together[followed]] = at_ms[together[followed + 1]]
    return Earlier(viewer, video, at_ms, value[order], again_ms)


def _warnings(dataset: Dataset, nameless: int, unknown: int) -> list[str]:
    found = []
    if nameless:
        found.append(f"{nameless} interactions name no viewer: left out")
    if unknown:
        found.append(f"{unknown} interactions name a video that the catalogue lacks: left out")
    if not any(dataset.videos.genres):
        found.append("no video has a genre: texts and filters do without")
    texts = (*dataset.videos.titles, *dataset.videos.overviews)
    if not any(texts) and not any(dataset.videos.genres):
        found.append("no video has a title or an overview: their contents tell nothing")
    values = dataset.value[~np.isnan(dataset.value)]
    if not len(values):
        found.append("no ratings or watched shares: every interaction counts alike")
    elif values.min() == values.max():
        found.append(f"all ratings or watched shares are {values[0]:g}: they tell nothing")
    if dataset.at_ms[0] == dataset.at_ms[-1]:
        found.append("all times are equal: no trend, no order of watching, no offline evaluation")
    if len(dataset.viewers) < 2:
        found.append("one viewer only: nobody to learn from but this one")
    if len(dataset) == len(dataset.viewers):
        found.append("no viewer watched more than one video: nothing personal can be learnt")
    return found
