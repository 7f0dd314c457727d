"""On MovieLens-100k, as the demo cuts it: the blend beats the simple design clearly, the broken build is a disaster."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from core.errors import DependencyError
from deploy.gate import gate
from inference.recommender.bundle import load_bundle
from storage.offline import read_report
from training.build import train_bundle
from training.dataset import Dataset
from training.evaluation import Evaluation, evaluate
from training.fetch import fetch_ml_100k
from training.readers import read_folder
from training.recipes import BLEND, BROKEN, CONTENT
from training.splits import Split
from vectordb.sentence_transformer import SentenceTransformerEncoder

CACHE = Path(__file__).resolve().parents[2] / ".services/data"
SHARE = 0.75  # of each viewer's interactions, the first ones, is what the demo loads


@pytest.fixture(scope="module")
def movielens() -> Dataset:
    try:
        return read_folder(fetch_ml_100k(CACHE))
    except DependencyError as error:
        if os.environ.get("UNDERSTUDY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"required: MovieLens-100k: {error}")
        pytest.skip(f"MovieLens-100k: {error}")


def cut(data: Dataset) -> Split:
    """Every viewer's own first 75%, and what it watched after."""
    order = np.argsort(data.viewer, kind="stable")
    viewer = data.viewer[order]
    counts = np.bincount(viewer)
    place = np.arange(len(viewer)) - (np.cumsum(counts) - counts)[viewer]
    first = place < np.floor(counts[viewer] * SHARE)
    keep, later = np.sort(order[first]), order[~first]
    past = replace(
        data,
        viewer=data.viewer[keep],
        video=data.video[keep],
        at_ms=data.at_ms[keep],
        value=data.value[keep],
    )
    wanted = {v: data.video[later[data.viewer[later] == v]] for v in np.unique(data.viewer[later]).tolist()}
    return Split(past.newest_ms, past, wanted)


@pytest.fixture(scope="module")
def held_out(movielens: Dataset) -> Split:
    return cut(movielens)


@pytest.fixture(scope="module")
def store(held_out: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, encoder = tmp_path_factory.mktemp("store"), SentenceTransformerEncoder.local()
    for version, recipe in (("v1", CONTENT), ("v2", BLEND), ("v3", BROKEN)):
        began = perf_counter()
        train_bundle(held_out.past, recipe, version, folder, encoder)
        print(f"{version} trained in {perf_counter() - began:.1f} s")
    return folder


@pytest.fixture(scope="module")
def figures(store: Path, held_out: Split) -> dict[str, Evaluation]:
    found = {version: evaluate(load_bundle(store / version), held_out) for version in ("v1", "v2", "v3")}
    for version, figure in found.items():
        print(version, figure.summary())
    return found


def test_the_data_is_what_it_should_be(movielens: Dataset) -> None:
    assert (len(movielens), len(movielens.viewers), len(movielens.videos)) == (100_000, 943, 1_682)
    assert movielens.warnings == ()


def test_the_blend_is_clearly_better_than_the_simple_design(figures: dict[str, Evaluation]) -> None:
    assert figures["v2"].ndcg.mean() > 1.5 * figures["v1"].ndcg.mean()
    assert figures["v2"].recall.mean() > 1.5 * figures["v1"].recall.mean()


def test_the_broken_build_is_a_disaster(figures: dict[str, Evaluation]) -> None:
    assert figures["v3"].ndcg.mean() < 0.05 * figures["v1"].ndcg.mean()


def test_the_offline_gate_tells_them_apart(store: Path) -> None:
    simple, blend, broken = (read_report(store / version) for version in ("v1", "v2", "v3"))
    for result in (gate(blend, simple), gate(broken, blend)):
        print(result)
    assert gate(blend, simple).passed
    assert len(gate(broken, blend).reasons) == 2
