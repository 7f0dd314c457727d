"""The videos of a bundle, as columns. A video's row is its index in every array of the bundle."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidBundleError, InvalidInputError


class VideosFile(msgspec.Struct, forbid_unknown_fields=True):
    """`videos.json`: equally long columns in row order."""

    video_id: list[str]
    title: list[str]
    year: list[int | None]
    genres: list[list[str]]
    added_ms: list[int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Ids, titles and filters. `has_genre[g]` is a mask over rows for `genres[g]` (lower case)."""

    video_ids: tuple[str, ...]
    titles: tuple[str, ...]
    years: NDArray[np.int32]
    added_ms: NDArray[np.int64]
    genres: dict[str, int]
    has_genre: NDArray[np.bool_]
    row_of: dict[str, int]

    def __len__(self) -> int:
        return len(self.video_ids)

    def rows(self, video_ids: Sequence[str]) -> NDArray[np.int32]:
        """Rows of those ids that this catalogue knows, in their order; unknown ones are left out."""
        known = (self.row_of.get(video_id, -1) for video_id in video_ids)
        return np.fromiter((row for row in known if row >= 0), np.int32)

    def in_genre(self, genre: str) -> NDArray[np.bool_]:
        """Mask over rows of one genre, named in any case.

        Raises:
            InvalidInputError: no video has it; the nearest genres are named.
        """
        index = self.genres.get(genre.lower())
        if index is None:
            near = difflib.get_close_matches(genre.lower(), self.genres, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise InvalidInputError(f"genre {genre[:40]!r} is unknown{hint}")
        mask: NDArray[np.bool_] = self.has_genre[index]
        return mask


def read_catalogue(path: Path) -> Catalogue:
    """The catalogue in a bundle's `videos.json`.

    Raises:
        InvalidBundleError: not such a file, no videos, columns of different length, an id twice.
    """
    try:
        columns = msgspec.json.decode(path.read_bytes(), type=VideosFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise InvalidBundleError(f"{path.parent}: file {path.name!r} is no list of videos: {error}") from None
    _check_columns(path, columns)
    return make_catalogue(columns)


def make_catalogue(columns: VideosFile) -> Catalogue:
    """The catalogue of these columns, which are equally long."""
    genres, has_genre = _genre_masks(columns.genres)
    return Catalogue(
        video_ids=tuple(columns.video_id),
        titles=tuple(columns.title),
        years=np.array([year or 0 for year in columns.year], np.int32),
        added_ms=np.array(columns.added_ms, np.int64),
        genres=genres,
        has_genre=has_genre,
        row_of={video_id: row for row, video_id in enumerate(columns.video_id)},
    )


def _check_columns(path: Path, columns: VideosFile) -> None:
    lengths = {name: len(getattr(columns, name)) for name in VideosFile.__struct_fields__}
    if len(set(lengths.values())) > 1:
        raise InvalidBundleError(f"{path.parent}: file {path.name!r} has columns of lengths {lengths}")
    if not columns.video_id:
        raise InvalidBundleError(f"{path.parent}: file {path.name!r} has no videos")
    if len(set(columns.video_id)) != len(columns.video_id):
        raise InvalidBundleError(f"{path.parent}: file {path.name!r} has a video id twice")


def _genre_masks(genres: Sequence[Sequence[str]]) -> tuple[dict[str, int], NDArray[np.bool_]]:
    names = sorted({genre.lower() for of_video in genres for genre in of_video})
    index: dict[str, Any] = {name: number for number, name in enumerate(names)}
    has = np.zeros((len(names), len(genres)), np.bool_)
    for row, of_video in enumerate(genres):
        for genre in of_video:
            has[index[genre.lower()], row] = True
    return index, has
