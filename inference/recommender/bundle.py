"""A model bundle in memory: large arrays mapped from its files, every one checked before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import InvalidBundleError
from inference.recommender.arrays import (
    F32,
    I32,
    I64,
    Factors,
    Histories,
    Signals,
    SparseRows,
    Towers,
    Trends,
)
from inference.recommender.blend import FILE as BLEND_FILE
from inference.recommender.blend import Blend, read_blend
from inference.recommender.catalogue import Catalogue, read_catalogue
from inference.recommender.features import HALF_LIVES_DAYS
from inference.recommender.ranker import FILE as RANKER_FILE
from inference.recommender.ranker import Ranker, read_ranker
from inference.recommender.reading import (
    TOWERS_FILE,
    check_rows,
    read_factors,
    read_histories,
    read_signals,
    read_sparse,
    read_towers,
    read_trends,
    required,
)
from inference.recommender.signals_file import FILE as SIGNALS_FILE
from storage.arrays import read_npy
from storage.bundles import Manifest, digest_of, open_bundle

__all__ = ["F32", "I32", "I64", "ModelBundle", "load_bundle"]


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """Everything `recommend` reads. What neither the blend nor a ranker has a use for is absent.

    `signals` are what a ranker's sources and features need; in training there are some before there is a
    `ranker`.
    """

    manifest: Manifest
    digest: str
    catalogue: Catalogue
    embeddings: F32
    neighbours: I32
    neighbour_scores: F32
    histories: Histories
    trends: Trends
    blend: Blend
    factors: Factors | None
    covisitation: SparseRows | None
    signals: Signals | None = None
    ranker: Ranker | None = None
    towers: Towers | None = None

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def as_of_ms(self) -> int:
        return self.manifest.as_of_ms


def load_bundle(path: Path, digest: str | None = None, key: bytes | None = None) -> ModelBundle:
    """The bundle in this folder, verified file by file and array by array.

    Args:
        path: its folder.
        digest: refuse any other digest ("sha256:...").
        key: refuse a bundle that is not signed with it.

    Raises:
        InvalidBundleError: names the file and what is wrong with it.
    """
    manifest = open_bundle(path, digest, key)
    catalogue = read_catalogue(required(path, "videos.json"))
    blend = read_blend(required(path, BLEND_FILE))
    learned = SIGNALS_FILE in manifest.files
    count = len(catalogue)
    dimensions = manifest.dimensions
    if dimensions.get("videos") != count:
        raise InvalidBundleError(
            f"{path}: file 'videos.json' has {count} videos, the manifest says {dimensions.get('videos')}"
        )
    if RANKER_FILE in manifest.files and not learned:
        raise InvalidBundleError(f"{path}: file {SIGNALS_FILE!r} is missing, and there is a ranker")
    trends = read_trends(path, count)
    if learned and not np.array_equal(trends.half_lives_days, HALF_LIVES_DAYS):
        raise InvalidBundleError(f"{path}: file 'trending.npz' has other half-lives than the ranker's")
    width = dimensions.get("neighbours")
    neighbours = read_npy(required(path, "neighbours.npy"), "<i4", (count, width))
    check_rows(path, "neighbours.npy", neighbours, -1, count)
    return ModelBundle(
        manifest=manifest,
        digest=digest_of(path),
        catalogue=catalogue,
        embeddings=read_npy(required(path, "embeddings.npy"), "<f4", (count, dimensions.get("embedding"))),
        neighbours=neighbours,
        neighbour_scores=read_npy(required(path, "neighbour_scores.npy"), "<f4", neighbours.shape),
        histories=read_histories(path, count),
        trends=trends,
        blend=blend,
        factors=read_factors(path, "als", count, dimensions, with_viewers=not learned)
        if learned or "als" in blend.sources
        else None,
        covisitation=read_sparse(path, "covisitation.npz", count, count)
        if learned or "covisitation" in blend.sources
        else None,
        signals=read_signals(path, count, dimensions) if learned else None,
        ranker=read_ranker(path) if RANKER_FILE in manifest.files else None,
        towers=read_towers(path, count, dimensions)
        if TOWERS_FILE in manifest.files or "towers" in blend.sources
        else None,
    )
