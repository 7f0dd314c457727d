"""A small world that every source and model must solve: two tastes that never mix, as a checkerboard."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from core.clock import DAY, HOUR
from inference.recommender.blend import SOURCE_NAMES
from inference.recommender.bundle import ModelBundle
from storage.bundles import BundleRef, publish, staging_folder
from storage.offline import OfflineReport
from training.als import AlsSettings
from training.bundle_files import write_model
from training.dataset import Dataset, Videos, make_dataset
from training.ease import EaseSettings
from training.fit import Vectors, videos_file
from training.ranker import RankerSettings
from training.recipes import Recipe
from training.replay import Replay
from training.signals import SignalSettings
from training.tower_settings import TowerSettings
from vectordb.encoder import Encoder
from vectordb.encoder import Vectors as UnitVectors
from vectordb.neighbours import neighbour_table

START_MS = 1_700_000_000_000
VIEWERS, VIDEOS = 24, 30
ALL_SOURCES = Recipe(
    "all",
    {"content": 1.0, "als": 1.0, "covisitation": 1.0, "trending": 1.0, "new": 1.0, "popularity": 1.0},
    als=AlsSettings(factors=8, regularization=0.1, threads=1),
    neighbours=5,
)
RANKED_SMALL = Recipe(
    "ranked",
    dict.fromkeys(sorted(SOURCE_NAMES - {"towers"}), 1.0),
    als=AlsSettings(8, 0.1, alpha=2.0, threads=1),
    neighbours=5,
    signals=SignalSettings(
        als_recent=AlsSettings(8, 0.1, 2.0, threads=1, half_life_days=14.0),
        ease=EaseSettings(regularization=1.0),
    ),
    ranker=RankerSettings(least_history=2, least_hits=5, least_in_leaf=5, trees=20),
)
"""The learned design in small; its blend, for viewers of whom nothing is known, names every source it has."""
TOWERS_SMALL = replace(
    RANKED_SMALL,
    name="towers",
    sources=dict.fromkeys(sorted(SOURCE_NAMES), 1.0),
    towers=TowerSettings(width=8, hidden=16, epochs=20, batch=64),
)


class HashEncoder:
    """An encoder without weights: equal words, near vectors. Counts what it is asked."""

    name = "hash"
    digest = f"sha256:{hashlib.sha256(b'hash').hexdigest()}"
    dimension = 16

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> UnitVectors:
        self.encoded += len(texts)
        found = np.array([sum(map(self._word, text.lower().split() or [""])) for text in texts], np.float32)
        found = found.reshape(len(texts), self.dimension)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    def _word(self, word: str) -> UnitVectors:
        seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:4], "big")
        return np.random.default_rng(seed).normal(size=self.dimension).astype(np.float32)


def taste(number: int) -> str:
    """The genre of a video or viewer: even ones are comedies, odd ones horror."""
    return "Comedy" if number % 2 == 0 else "Horror"


def videos(count: int = VIDEOS) -> Videos:
    """Videos m00, m01, ...; the text of each begins with its taste."""
    return Videos(
        ids=tuple(f"m{n:02}" for n in range(count)),
        titles=tuple(f"{taste(n)} {taste(n)} {taste(n)} {n}" for n in range(count)),
        years=(1999,) * count,
        genres=tuple((taste(n),) for n in range(count)),
        overviews=("",) * count,
        added_ms=(-1,) * count,
    )


def checkerboard(viewers: int = VIEWERS, count: int = VIDEOS, seed: int = 3) -> Dataset:
    """Viewers u00, u01, ...: each watched most videos of its own taste, and none of the other."""
    generator = np.random.default_rng(seed)
    watched: list[tuple[str, str, int, float]] = []
    for viewer in range(viewers):
        own = [n for n in range(count) if n % 2 == viewer % 2]
        for place, video in enumerate(generator.permutation(own)[: int(len(own) * 0.7)]):
            at_ms = START_MS + place * DAY + viewer * HOUR
            watched.append((f"u{viewer:02}", f"m{video:02}", at_ms, float(generator.integers(1, 6))))
    users, ids, times, values = zip(*watched, strict=True)
    return make_dataset(videos(count), users, ids, times, values)


def vectors_of(dataset: Dataset, neighbours: int = 5, encoder: Encoder | None = None) -> Vectors:
    """Vectors without Chroma."""
    encoder = encoder or HashEncoder()
    embeddings = encoder.encode(dataset.videos.titles)
    rows, cosines = neighbour_table(embeddings, neighbours)
    return Vectors(encoder.name, encoder.digest, embeddings, rows, cosines)


def small_model(
    recipe: Recipe = ALL_SOURCES, dataset: Dataset | None = None, encoder: Encoder | None = None
) -> ModelBundle:
    """A model of the checkerboard, in memory."""
    dataset = dataset or checkerboard()
    vectors = vectors_of(dataset, recipe.neighbours, encoder)
    return Replay(dataset, vectors, recipe).model(dataset.newest_ms, dataset.newest_ms + 1)


def publish_small(
    store: Path, version: str = "v1", recipe: Recipe = ALL_SOURCES, encoder: Encoder | None = None
) -> BundleRef:
    """The same model as a bundle on disk, without a Chroma collection."""
    dataset = checkerboard()
    model = small_model(recipe, dataset, encoder)
    nobody = np.empty(0, np.float32)
    report = OfflineReport(version, "", np.empty(0, np.uint64), nobody, nobody, nobody)
    with staging_folder(store) as staging:
        write_model(model, videos_file(dataset, dataset.newest_ms), report, staging)
        return publish(store, staging, msgspec.structs.replace(model.manifest, version=version))


def without(dataset: Dataset, viewer: str) -> Dataset:
    """The data set as if this viewer had never come."""
    keep = dataset.viewer != dataset.viewers.index(viewer)
    return replace(
        dataset,
        viewer=dataset.viewer[keep],
        video=dataset.video[keep],
        at_ms=dataset.at_ms[keep],
        value=dataset.value[keep],
    )
