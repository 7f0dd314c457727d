"""Train, evaluate and publish one bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
from threadpoolctl import threadpool_limits

from core.errors import InvalidInputError, RefusedError
from core.ids import check_version
from inference.recommender.bundle import ModelBundle
from storage.bundles import BundleRef, publish, staging_folder
from training.bundle_files import write_model
from training.dataset import Dataset
from training.fit import Vectors, fit, videos_file
from training.offline import (
    FOLDS_OF_TRENDING,
    Plan,
    best_half_life,
    evaluate_offline,
    headline,
    plan_of,
)
from training.recipes import BLEND, Recipe
from training.replay import Replay
from training.splits import Split
from training.trending import HALF_LIVES_DAYS
from training.vectors import build_vectors
from training.weights import tune
from vectordb.encoder import Encoder

NOT_EVALUATED: Final = "not evaluated offline: it passes no gate"
EMBEDDINGS_CACHE: Final = ".embeddings"  # beside the bundles; its name keeps it out of their list

Say = Callable[[str], None]


def train_bundle(
    dataset: Dataset,
    recipe: Recipe,
    version: str,
    store: Path,
    encoder: Encoder,
    *,
    as_of_ms: int | None = None,
    created_ms: int | None = None,
    code_revision: str = "",
    evaluated: bool = True,
    say: Say = lambda _: None,
) -> BundleRef:
    """Train on everything up to `as_of_ms` (by default the newest interaction) and publish the bundle.

    The clock is never read: `created_ms` is the caller's, or `as_of_ms`. `say` hears what is going on. A bundle
    that is not `evaluated` passes no gate.

    Raises:
        InvalidInputError: nothing to train on up to then, or no name for a bundle.
        RefusedError: there is a bundle of this version.
    """
    check_free(store, version)
    as_of_ms = dataset.newest_ms if as_of_ms is None else as_of_ms
    dataset = dataset.before(as_of_ms + 1)
    if not len(dataset):
        raise InvalidInputError(f"no interaction up to {as_of_ms} ms: there is nothing to train on")
    for warning in dataset.warnings:
        say(f"warning: {warning}")
    with staging_folder(store) as staging:
        say(f"encoding {len(dataset.videos)} videos")
        cache, chroma = store / EMBEDDINGS_CACHE, staging / "chroma"
        vectors = build_vectors(dataset.videos, encoder, cache, chroma, recipe.neighbours)
        # Thousands of small products follow: a pool of BLAS threads costs ten times what it brings there.
        with threadpool_limits(limits=1, user_api="blas"):
            plan = plan_of(dataset)
            replay, model = train_model(dataset, plan, vectors, recipe, as_of_ms, say)
            asked = plan if evaluated else replace(plan, splits=[])
            report, summary = evaluate_offline(dataset, asked, replay, version)
        say(headline(summary) if evaluated else NOT_EVALUATED)
        write_model(model, videos_file(dataset, as_of_ms), report, staging)
        manifest = msgspec.structs.replace(
            model.manifest,
            version=version,
            created_ms=as_of_ms if created_ms is None else created_ms,
            code_revision=code_revision,
            evaluation=summary,
            notes="; ".join(_notes(replay.recipe, dataset, evaluated)),
        )
        return publish(store, staging, manifest)


def _notes(recipe: Recipe, dataset: Dataset, evaluated: bool) -> list[str]:
    return [f"recipe {recipe.name}", *dataset.warnings, *([] if evaluated else [NOT_EVALUATED])]


def check_free(store: Path, version: str) -> None:
    """Before minutes of training, not after: whether the store can be written and has no such bundle yet.

    Raises:
        InvalidInputError: no folder, or no name for a bundle.
        RefusedError: there is a bundle of this version; no two trainings make the same files.
    """
    check_version(version)
    try:
        with staging_folder(store):
            pass
    except OSError as error:
        raise InvalidInputError(f"{store}: no bundle can be written there: {error}") from None
    if (store / version).exists():
        raise RefusedError(
            f"{version!r} exists in {store}: bundles never change, publish under another version"
        )


def train_model(
    dataset: Dataset, plan: Plan, vectors: Vectors, recipe: Recipe, as_of_ms: int, say: Say
) -> tuple[Replay, ModelBundle]:
    """The model as of `as_of_ms`, and what made it; by another recipe where there is too little for a ranker."""
    lately = Replay(dataset, vectors, recipe).last_folds(as_of_ms + 1, FOLDS_OF_TRENDING)
    replay = Replay(dataset, vectors, choose(plan.folds, lately, vectors, recipe, say))
    if recipe.ranker is not None:
        say("replaying the past for the ranker")
    model = replay.model(as_of_ms, as_of_ms + 1)
    if recipe.ranker is None or model.ranker is not None:
        return replay, model
    say(f"warning: too few viewers came back to learn a ranker from: recipe {BLEND.name} instead")
    return train_model(dataset, plan, vectors, BLEND, as_of_ms, say)


def choose(
    folds: Sequence[Split], lately: Sequence[Split], vectors: Vectors, recipe: Recipe, say: Say
) -> Recipe:
    """The recipe with weights chosen on the folds, if it wants that; beside a ranker the half-life alone, `lately`."""
    if recipe.ranker is not None:
        return replace(recipe, half_life_days=HALF_LIVES_DAYS[best_half_life(lately)])
    if not recipe.tuned or not folds:
        return recipe
    say(f"choosing weights on {len(folds)} folds, {sum(len(fold.wanted) for fold in folds)} viewers")
    right_way_up = replace(recipe, descending=True)
    models = [(fit(fold.past, vectors, right_way_up, fold.split_ms), fold) for fold in folds]
    blend = tune(models, models[0][0].blend)
    return replace(recipe, sources=blend.sources, half_life_days=blend.half_life_days)
