"""Bundles as large as in life, made of noise: 27,000 videos with and without a ranker, a million viewers' factors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from inference.recommender.arrays import F32, I32, Factors, Histories
from inference.recommender.bundle import ModelBundle
from storage.bundles import BundleRef, publish, staging_folder
from storage.offline import OfflineReport
from tests.benchmarks.test_recommendation import VIDEOS, ranker
from training.bundle_files import write_model
from training.dataset import Dataset
from training.fit import Vectors, fit, videos_file
from training.recipes import BLEND, RANKED, Recipe

DIMENSION: Final = 384
NEIGHBOURS: Final = 20
VIEWERS: Final = 1_000_000
WATCHED_EACH: Final = 10


def unit_vectors() -> F32:
    """(videos, 384), each of length one."""
    vectors = np.random.default_rng(2).normal(size=(VIDEOS, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def publish_large(store: Path, version: str, dataset: Dataset, vectors: F32, *, ranked: bool) -> BundleRef:
    """A version that every source and, where `ranked`, a ranker of the usual size work for."""
    recipe: Recipe = RANKED if ranked else replace(BLEND, tuned=False)
    recipe = replace(recipe, als=replace(recipe.als, iterations=1))
    with threadpool_limits(limits=1, user_api="blas"):
        model = fit(dataset, _vectors(vectors), recipe, dataset.newest_ms)
    return _publish(store, version, dataset, replace(model, ranker=ranker()) if ranked else model)


def publish_many_viewers(store: Path, version: str, dataset: Dataset, vectors: F32) -> BundleRef:
    """The same without a ranker, for a million viewers with ten videos each."""
    recipe = replace(BLEND, tuned=False, als=replace(BLEND.als, iterations=1))
    with threadpool_limits(limits=1, user_api="blas"):
        model = fit(dataset, _vectors(vectors), recipe, dataset.newest_ms)
    assert model.factors is not None
    random = np.random.default_rng(4)
    watched = VIEWERS * WATCHED_EACH
    histories = Histories(
        {f"viewer-{number}": number for number in range(VIEWERS)},
        np.arange(0, watched + 1, WATCHED_EACH),
        random.integers(0, VIDEOS, watched).astype(np.int32),
        np.full(watched, dataset.newest_ms),
        np.ones(watched, np.float32),
    )
    width = model.factors.videos.shape[1]
    viewers = random.normal(size=(VIEWERS, width)).astype(np.float32)
    factors = Factors.of(model.factors.videos, viewers)
    dimensions = {**model.manifest.dimensions, "viewers": VIEWERS}
    manifest = msgspec.structs.replace(model.manifest, dimensions=dimensions)
    large = replace(model, manifest=manifest, histories=histories, factors=factors)
    return _publish(store, version, dataset, large)


def _vectors(vectors: F32) -> Vectors:
    """Any table of neighbours costs the same to look up as the true one."""
    random = np.random.default_rng(3)
    neighbours: I32 = random.integers(0, VIDEOS, (VIDEOS, NEIGHBOURS)).astype(np.int32)
    scores = -np.sort(-random.random((VIDEOS, NEIGHBOURS)).astype(np.float32), axis=1)
    return Vectors("noise", "noise", vectors, neighbours, scores)


def _publish(store: Path, version: str, dataset: Dataset, model: ModelBundle) -> BundleRef:
    nobody = np.empty(0, np.float32)
    report = OfflineReport(version, "", np.empty(0, np.uint64), nobody, nobody, nobody)
    with staging_folder(store) as staging:
        write_model(model, videos_file(dataset, dataset.newest_ms), report, staging)
        return publish(store, staging, msgspec.structs.replace(model.manifest, version=version))
