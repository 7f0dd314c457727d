"""Read the arrays of a bundle, every one checked: type, shape, finite values, rows within the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from core.errors import InvalidBundleError
from inference.recommender.arrays import (
    I32,
    I64,
    Crowd,
    Factors,
    Histories,
    Signals,
    SparseRows,
    Towers,
    Trends,
    VideoFacts,
)
from inference.recommender.features import REGULAR_HALF_LIVES_DAYS
from inference.recommender.signals_file import read_signals_file
from storage.arrays import read_npy, read_npz

TOWERS_FILE: Final = "towers_viewer.npz"


def required(path: Path, name: str) -> Path:
    """The path of a file that must be there."""
    if not (path / name).is_file():
        raise InvalidBundleError(f"{path}: file {name!r} is missing")
    return path / name


def read_histories(path: Path, videos: int) -> Histories:
    """Viewers' ids and histories."""
    file = required(path, "viewers.json")
    try:
        viewers = msgspec.json.decode(file.read_bytes(), type=list[str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBundleError(f"{path}: file 'viewers.json' is no list of ids: {error}") from None
    row_of = {viewer: row for row, viewer in enumerate(viewers)}
    if len(row_of) != len(viewers):
        raise InvalidBundleError(f"{path}: file 'viewers.json' has a viewer id twice")
    wanted = {"indptr": "<i8", "videos": "<i4", "at_ms": "<i8", "value": "<f4"}
    data = read_npz(
        required(path, "history.npz"),
        {name: (dtype, (None,)) for name, dtype in wanted.items()},
        may_be_nan=frozenset({"value"}),
    )
    check_compressed(path, "history.npz", data["indptr"], data["videos"], rows=len(viewers), videos=videos)
    if not len(data["videos"]) == len(data["at_ms"]) == len(data["value"]):
        raise InvalidBundleError(f"{path}: file 'history.npz' has columns of different length")
    return Histories(row_of, data["indptr"], data["videos"], data["at_ms"], data["value"])


def read_trends(path: Path, videos: int) -> Trends:
    """Decayed counts and what else counts tell."""
    data = read_npz(
        required(path, "trending.npz"),
        {
            "half_lives_days": ("<f8", (None,)),
            "scores": ("<f4", (None, videos)),
            "popularity": ("<f4", (videos,)),
            "rating_mean": ("<f4", (videos,)),
        },
    )
    if len(data["half_lives_days"]) == 0 or len(data["half_lives_days"]) != len(data["scores"]):
        raise InvalidBundleError(f"{path}: file 'trending.npz' needs one row of scores for each half-life")
    return Trends(**data)


def read_factors(
    path: Path, name: str, videos: int, dimensions: Mapping[str, int], *, with_viewers: bool
) -> Factors:
    """Factors from `NAME_videos.npy` and, where wanted, `NAME_viewers.npy`."""
    width = dimensions.get("factors")
    of_videos = read_npy(required(path, f"{name}_videos.npy"), "<f4", (videos, width))
    viewers = None
    if with_viewers:
        viewers = read_npy(required(path, f"{name}_viewers.npy"), "<f4", (dimensions.get("viewers"), width))
    return Factors.of(of_videos, viewers)


def read_towers(path: Path, videos: int, dimensions: Mapping[str, int]) -> Towers:
    """Videos' vectors from `towers_videos.npy`, and the viewer tower's weights."""
    width = dimensions.get("towers")
    of_videos = read_npy(required(path, "towers_videos.npy"), "<f4", (videos, width))
    width = of_videos.shape[1]
    data = read_npz(
        required(path, TOWERS_FILE),
        {
            "hidden": ("<f4", (width, None)),
            "hidden_bias": ("<f4", (None,)),
            "out": ("<f4", (None, width)),
            "out_bias": ("<f4", (width,)),
        },
    )
    if not data["hidden"].shape[1] == len(data["hidden_bias"]) == len(data["out"]):
        raise InvalidBundleError(f"{path}: file {TOWERS_FILE!r} has layers of different width")
    return Towers(of_videos, **data)


def read_sparse(path: Path, name: str, rows: int, columns: int) -> SparseRows:
    """Compressed rows from an npz with `indptr`, `indices` and `data`."""
    wanted = {"indptr": "<i8", "indices": "<i4", "data": "<f4"}
    data = read_npz(required(path, name), {member: (dtype, (None,)) for member, dtype in wanted.items()})
    check_compressed(path, name, data["indptr"], data["indices"], rows=rows, videos=columns)
    if len(data["indices"]) != len(data["data"]):
        raise InvalidBundleError(f"{path}: file {name!r} has columns of different length")
    return SparseRows(**data)


def read_signals(path: Path, videos: int, dimensions: Mapping[str, int]) -> Signals:
    """What the sources behind a ranker read."""
    return Signals(
        how=read_signals_file(path),
        factors_recent=read_factors(path, "als_recent", videos, dimensions, with_viewers=False),
        ease=read_sparse(path, "ease.npz", videos, videos),
        covisitation_recent=read_sparse(path, "covisitation_recent.npz", videos, videos),
        crowd=_read_crowd(path, videos),
        facts=_read_facts(path, videos),
    )


def _read_crowd(path: Path, videos: int) -> Crowd:
    name = "crowd_recent.npz"
    data = read_npz(
        required(path, name),
        {"idf": ("<f4", (videos,)), "recent": ("<i4", (None, None)), "recent_days": ("<f4", (None, None))},
    )
    check_rows(path, name, data["recent"], -1, videos)
    if data["recent"].shape != data["recent_days"].shape:
        raise InvalidBundleError(f"{path}: file {name!r} has columns of different length")
    return Crowd(watchers=read_sparse(path, "crowd.npz", videos, len(data["recent"])), **data)


def _read_facts(path: Path, videos: int) -> VideoFacts:
    data = read_npz(
        required(path, "video_facts.npz"),
        {
            "regular_half_lives_days": ("<f8", (None,)),
            "regulars": ("<f4", (None, videos)),
            "seen_ms": ("<i8", (3, videos)),
            "rating": ("<f4", (videos,)),
            "rating_spread": ("<f4", (videos,)),
        },
    )
    if len(data["regular_half_lives_days"]) != len(REGULAR_HALF_LIVES_DAYS) or len(data["regulars"]) != len(
        REGULAR_HALF_LIVES_DAYS
    ):
        raise InvalidBundleError(f"{path}: file 'video_facts.npz' has other half-lives than the ranker's")
    return VideoFacts(**data)


def check_compressed(path: Path, name: str, indptr: I64, indices: I32, *, rows: int, videos: int) -> None:
    """Refuse row pointers that do not fit, and columns out of range."""
    proper = len(indptr) == rows + 1 and indptr[0] == 0 and indptr[-1] == len(indices)
    if not proper or bool((np.diff(indptr) < 0).any()):
        raise InvalidBundleError(f"{path}: file {name!r} has row pointers that do not fit {rows} rows")
    check_rows(path, name, indices, 0, videos)


def check_rows(path: Path, name: str, rows: I32, lowest: int, videos: int) -> None:
    """Refuse rows below `lowest` or beyond the catalogue."""
    if rows.size and (int(rows.min()) < lowest or int(rows.max()) >= videos):
        raise InvalidBundleError(f"{path}: file {name!r} points outside the {videos} videos")
