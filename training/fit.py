"""Train every part of a bundle, in memory: the same value that a serving process loads from disk."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.errors import InvalidInputError
from inference.recommender.arrays import Factors, Towers
from inference.recommender.blend import Blend, FoldIn
from inference.recommender.bundle import ModelBundle
from inference.recommender.catalogue import VideosFile, make_catalogue
from storage.bundles import Manifest
from training.als import train_als
from training.dataset import F32, I32, Dataset
from training.history import histories
from training.recipes import Recipe
from training.signals import covisitation_rows, train_signals
from training.tower_settings import TowerSettings
from training.trending import trends


@dataclass(frozen=True, slots=True)
class Vectors:
    """What was made of the videos' texts, by video row: unit vectors and their exact neighbour table."""

    encoder: str
    encoder_digest: str
    embeddings: F32
    neighbours: I32
    neighbour_scores: F32


def fit(dataset: Dataset, vectors: Vectors, recipe: Recipe, as_of_ms: int) -> ModelBundle:
    """A model of everything in `dataset`, with the recipe's own weights.

    Args:
        dataset: interactions up to `as_of_ms` only.
        vectors: of the same videos in the same rows.
        recipe: what to train.
        as_of_ms: the time the model stands at.
    """
    of_videos = of_viewers = None
    if "als" in recipe.sources or recipe.signals:
        of_viewers, of_videos = train_als(dataset, recipe.als, as_of_ms)
    return ModelBundle(
        manifest=_draft(dataset, vectors, recipe, as_of_ms),
        digest="",
        catalogue=make_catalogue(videos_file(dataset, as_of_ms)),
        embeddings=vectors.embeddings,
        neighbours=vectors.neighbours,
        neighbour_scores=vectors.neighbour_scores,
        histories=histories(dataset),
        trends=trends(dataset, as_of_ms),
        blend=_blend(recipe),
        factors=None if of_videos is None else Factors.of(of_videos, None if recipe.signals else of_viewers),
        covisitation=covisitation_rows(dataset, recipe.covisitation, as_of_ms)
        if "covisitation" in recipe.sources or recipe.signals
        else None,
        signals=train_signals(dataset, recipe.signals, as_of_ms) if recipe.signals else None,
        towers=_towers(dataset, vectors, recipe.towers) if recipe.towers else None,
    )


def _towers(dataset: Dataset, vectors: Vectors, settings: TowerSettings) -> Towers:
    try:
        from training.towers import train_towers  # noqa: PLC0415 imports torch, for this recipe alone
    except ModuleNotFoundError as error:
        raise InvalidInputError(f"two towers need the extra 'towers': {error}") from None
    return train_towers(dataset, vectors.embeddings, settings)


def videos_file(dataset: Dataset, as_of_ms: int) -> VideosFile:
    """The catalogue in the bundle's form; a video of unknown age was added when first watched, or just now."""
    first = np.full(len(dataset.videos), as_of_ms, np.int64)
    np.minimum.at(first, dataset.video, dataset.at_ms)
    videos = dataset.videos
    added = [given if given >= 0 else int(at) for given, at in zip(videos.added_ms, first, strict=True)]
    return VideosFile(
        video_id=list(videos.ids),
        title=list(videos.titles),
        year=list(videos.years),
        genres=[list(genres) for genres in videos.genres],
        added_ms=added,
    )


def with_blend(model: ModelBundle, blend: Blend) -> ModelBundle:
    """The same model, weighed otherwise."""
    return replace(model, blend=blend)


def _blend(recipe: Recipe) -> Blend:
    return Blend(
        sources=dict(recipe.sources),
        properties=dict(recipe.properties),
        half_life_days=recipe.half_life_days,
        als=FoldIn(recipe.als.alpha, recipe.als.regularization)
        if "als" in recipe.sources or recipe.signals
        else None,
        descending=recipe.descending,
        diversity=recipe.diversity,
        cold_share=recipe.cold_share,
    )


def _draft(dataset: Dataset, vectors: Vectors, recipe: Recipe, as_of_ms: int) -> Manifest:
    return Manifest(
        version=recipe.name,
        created_ms=as_of_ms,
        as_of_ms=as_of_ms,
        data_digest=dataset.digest(),
        code_revision="",
        encoder=vectors.encoder,
        encoder_digest=vectors.encoder_digest,
        dimensions={
            "videos": len(dataset.videos),
            "viewers": len(dataset.viewers),
            "embedding": vectors.embeddings.shape[1],
            "neighbours": vectors.neighbours.shape[1],
        }
        | ({"factors": recipe.als.factors} if "als" in recipe.sources or recipe.signals else {})
        | ({"towers": recipe.towers.width} if recipe.towers else {}),
    )
