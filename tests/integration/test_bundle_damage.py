"""A bundle loads as it was trained, and every array that does not fit is refused by its file's name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.errors import InvalidBundleError
from inference.recommender.bundle import load_bundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommender, recommend
from storage.bundles import MANIFEST, Manifest, publish, read_manifest, staging_folder
from tests.small_model import RANKED_SMALL, TOWERS_SMALL, publish_small, small_model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_small(tmp_path_factory.mktemp("store")).path


def test_what_is_loaded_recommends_as_what_was_trained(bundle: Path) -> None:
    trained, loaded = small_model(), load_bundle(bundle)
    for viewer in ("u00", "u01", "nobody"):
        asked = Request(viewer, 8, explain=True)
        before = recommend(trained, asked, None, None, trained.as_of_ms)
        after = recommend(loaded, asked, None, None, loaded.as_of_ms)
        assert [item.video_id for item in after.items] == [item.video_id for item in before.items]
        assert after == before


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_small(tmp_path_factory.mktemp("store"), recipe=RANKED_SMALL).path


def test_a_loaded_ranker_ranks_as_the_trained_one(ranked: Path) -> None:
    trained, loaded = small_model(RANKED_SMALL), load_bundle(ranked)
    assert loaded.ranker is not None
    for viewer in ("u00", "u01", "nobody"):
        asked = Request(viewer, 8, explain=True)
        after = recommend(loaded, asked, None, None, loaded.as_of_ms)
        assert after == recommend(trained, asked, None, None, trained.as_of_ms)


def test_large_arrays_are_mapped(bundle: Path) -> None:
    model = load_bundle(bundle)
    assert model.factors is not None
    for array in (model.embeddings, model.neighbours, model.factors.videos, model.factors.viewers):
        assert array is not None
        assert isinstance(array.base, np.memmap)


def npy(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, change(np.load(folder / name)))


def npz(name: str, member: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with np.load(folder / name) as data:
            content = dict(data)
        np.savez(folder / name, **content | {member: change(content[member])})

    return damage


def text(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = msgspec.json.decode((folder / name).read_bytes())
        (folder / name).write_bytes(msgspec.json.encode(change(content)))

    return damage


def put(place: Any, value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        changed = array.copy()
        changed[place] = value
        return changed

    return change


DAMAGES = {
    "embeddings.npy NaN": npy("embeddings.npy", put((0, 0), np.nan)),
    "embeddings.npy width": npy("embeddings.npy", lambda a: a[:, :-1].copy()),
    "embeddings.npy float64": npy("embeddings.npy", lambda a: a.astype(np.float64)),
    "neighbours.npy beyond": npy("neighbours.npy", put((0, 0), 30)),
    "neighbours.npy below": npy("neighbours.npy", put((0, 0), -2)),
    "neighbour_scores.npy shape": npy("neighbour_scores.npy", lambda a: a[:-1].copy()),
    "als_videos.npy inf": npy("als_videos.npy", put((0, 0), np.inf)),
    "als_videos.npy width": npy("als_videos.npy", lambda a: a[:, :-1].copy()),
    "als_viewers.npy rows": npy("als_viewers.npy", lambda a: a[:-1].copy()),
    "history.npz beyond": npz("history.npz", "videos", put(0, 30)),
    "history.npz pointers": npz("history.npz", "indptr", put(1, 10_000)),
    "history.npz lengths": npz("history.npz", "at_ms", lambda a: a[:-1]),
    "covisitation.npz beyond": npz("covisitation.npz", "indices", put(0, -1)),
    "covisitation.npz NaN": npz("covisitation.npz", "data", put(0, np.nan)),
    "trending.npz rows": npz("trending.npz", "scores", lambda a: a[:-1]),
    "trending.npz width": npz("trending.npz", "popularity", lambda a: a[:-1]),
    "videos.json twice": text("videos.json", lambda c: c | {"video_id": ["m00", *c["video_id"][:-1]]}),
    "videos.json lengths": text("videos.json", lambda c: c | {"title": c["title"][:-1]}),
    "videos.json none": text("videos.json", lambda c: {name: [] for name in c}),
    "videos.json fewer": text("videos.json", lambda c: {name: column[:-1] for name, column in c.items()}),
    "viewers.json twice": text("viewers.json", lambda c: [c[1], *c[1:]]),
    "viewers.json type": text("viewers.json", lambda c: list(range(len(c)))),
    "blend.json source": text("blend.json", lambda c: c | {"sources": {"astrology": 1.0}}),
    "blend.json property": text("blend.json", lambda c: c | {"properties": {"weight": 1.0}}),
    "blend.json empty": text("blend.json", lambda c: c | {"sources": {}}),
    "blend.json half-life": text("blend.json", lambda c: c | {"half_life_days": 0}),
    "blend.json unknown": text("blend.json", lambda c: c | {"magic": True}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_content_that_does_not_fit_is_refused_by_name(
    bundle: Path, tmp_path: Path, damage: Callable[[Path], None], request: pytest.FixtureRequest
) -> None:
    """The hashes are right: whoever wrote such a bundle published it properly."""
    path = republished(bundle, tmp_path, damage)
    name = request.node.callspec.id.split()[0]
    with pytest.raises(InvalidBundleError, match=name):
        load_bundle(path)


def ranker_text(change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "ranker.txt"
        path.write_text(change(path.read_text()))

    return damage


RANKED_DAMAGES = {
    "als_recent_videos.npy NaN": npy("als_recent_videos.npy", put((0, 0), np.nan)),
    "als_recent_videos.npy width": npy("als_recent_videos.npy", lambda a: a[:, :-1].copy()),
    "ease.npz beyond": npz("ease.npz", "indices", put(0, 30)),
    "ease.npz NaN": npz("ease.npz", "data", put(0, np.nan)),
    "covisitation_recent.npz pointers": npz("covisitation_recent.npz", "indptr", put(1, 10_000)),
    "crowd.npz beyond": npz("crowd.npz", "indices", put(0, 1_000)),
    "crowd.npz lengths": npz("crowd.npz", "data", lambda a: a[:-1]),
    "crowd_recent.npz beyond": npz("crowd_recent.npz", "recent", put((0, 0), 30)),
    "crowd_recent.npz shapes": npz("crowd_recent.npz", "recent_days", lambda a: a[:, :-1].copy()),
    "crowd_recent.npz idf": npz("crowd_recent.npz", "idf", put(0, np.inf)),
    "video_facts.npz shape": npz("video_facts.npz", "seen_ms", lambda a: a[:2].copy()),
    "video_facts.npz NaN": npz("video_facts.npz", "rating", put(0, np.nan)),
    "video_facts.npz rows": npz("video_facts.npz", "regulars", lambda a: a[:-1].copy()),
    "trending.npz rows": npz("trending.npz", "half_lives_days", lambda a: a + 1),
    "signals.json unknown": text("signals.json", lambda c: c | {"magic": True}),
    "signals.json spread": text("signals.json", lambda c: c | {"rating_spread": -1.0}),
    "blend.json diversity": text("blend.json", lambda c: c | {"diversity": 2.0}),
    "ranker.txt empty": ranker_text(lambda _: ""),
    "ranker.txt words": ranker_text(lambda _: "tree\nthis is no tree\n"),
    "ranker.txt features": ranker_text(lambda t: t.replace("als_rank", "als_runk")),
    "ranker.txt cut": ranker_text(lambda t: t[: len(t) // 2]),
    "ranker.txt feature beyond": ranker_text(
        lambda t: re.sub("^split_feature=[0-9]+", "split_feature=9999", t, flags=re.MULTILINE)
    ),
    "ranker.txt child beyond": ranker_text(
        lambda t: re.sub("^left_child=[-0-9]+", "left_child=9999", t, flags=re.MULTILINE)
    ),
    "ranker.txt leaf NaN": ranker_text(
        lambda t: re.sub("^leaf_value=[-.e0-9]+", "leaf_value=nan", t, flags=re.MULTILINE)
    ),
}


@pytest.mark.parametrize("damage", RANKED_DAMAGES.values(), ids=RANKED_DAMAGES)
def test_what_a_ranker_needs_is_refused_by_name_where_it_does_not_fit(
    ranked: Path, tmp_path: Path, damage: Callable[[Path], None], request: pytest.FixtureRequest
) -> None:
    path = republished(ranked, tmp_path, damage)
    with pytest.raises(InvalidBundleError, match=request.node.callspec.id.split()[0]):
        load_bundle(path)


@pytest.mark.parametrize(
    "name",
    ["ease.npz", "crowd.npz", "crowd_recent.npz", "video_facts.npz", "signals.json", "als_recent_videos.npy"],
)
def test_a_ranker_without_its_signals_is_refused(ranked: Path, tmp_path: Path, name: str) -> None:
    path = republished(ranked, tmp_path, lambda folder: (folder / name).unlink())
    with pytest.raises(InvalidBundleError, match=f"'{name}' is missing"):
        load_bundle(path)


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_small(tmp_path_factory.mktemp("store"), recipe=TOWERS_SMALL).path


def test_loaded_towers_propose_as_the_trained_ones(towers: Path) -> None:
    trained, loaded = small_model(TOWERS_SMALL), load_bundle(towers)
    for viewer in ("u00", "u01", "nobody"):
        asked = Request(viewer, 8)
        before = Recommender(trained).proposed(asked, trained.as_of_ms)
        after = Recommender(loaded).proposed(asked, loaded.as_of_ms)
        assert ("towers" in after) == (viewer != "nobody")
        for name in before:
            np.testing.assert_array_equal(after[name], before[name])


TOWERS_DAMAGES = {
    "towers_videos.npy NaN": npy("towers_videos.npy", put((0, 0), np.nan)),
    "towers_videos.npy rows": npy("towers_videos.npy", lambda a: a[:-1].copy()),
    "towers_videos.npy width": npy("towers_videos.npy", lambda a: a[:, :-1].copy()),
    "towers_videos.npy type": npy("towers_videos.npy", lambda a: a.astype(np.float64)),
    "towers_viewer.npz input": npz("towers_viewer.npz", "hidden", lambda a: a[:-1].copy()),
    "towers_viewer.npz layers": npz("towers_viewer.npz", "out", lambda a: a[:-1].copy()),
    "towers_viewer.npz bias": npz("towers_viewer.npz", "hidden_bias", lambda a: a[:-1].copy()),
    "towers_viewer.npz infinite": npz("towers_viewer.npz", "out_bias", put(0, np.inf)),
    "towers_viewer.npz gone": lambda folder: (folder / "towers_viewer.npz").unlink(),
    "towers_videos.npy gone": lambda folder: (folder / "towers_videos.npy").unlink(),
}


@pytest.mark.parametrize("damage", TOWERS_DAMAGES.values(), ids=TOWERS_DAMAGES)
def test_towers_that_do_not_fit_are_refused_by_name(
    towers: Path, tmp_path: Path, damage: Callable[[Path], None], request: pytest.FixtureRequest
) -> None:
    path = republished(towers, tmp_path, damage)
    with pytest.raises(InvalidBundleError, match=request.node.callspec.id.split()[0]):
        load_bundle(path)


@pytest.mark.parametrize("name", ["als_videos.npy", "covisitation.npz", "blend.json", "viewers.json"])
def test_a_file_that_the_manifest_forgot_is_refused_by_name(bundle: Path, tmp_path: Path, name: str) -> None:
    path = republished(bundle, tmp_path, lambda folder: (folder / name).unlink())
    with pytest.raises(InvalidBundleError, match=f"'{name}' is missing"):
        load_bundle(path)


def test_dimensions_of_the_manifest_must_be_true(bundle: Path, tmp_path: Path) -> None:
    wrong = {"videos": 30, "viewers": 24, "embedding": 16, "neighbours": 5, "factors": 64}
    path = republished(bundle, tmp_path, lambda _: None, dimensions=wrong)
    with pytest.raises(InvalidBundleError, match=r"als_videos\.npy"):
        load_bundle(path)


def republished(bundle: Path, store: Path, damage: Callable[[Path], None], **changes: Any) -> Path:
    with staging_folder(store) as staging:
        shutil.copytree(bundle, staging, dirs_exist_ok=True)
        (staging / MANIFEST).unlink()
        damage(staging)
        manifest: Manifest = msgspec.structs.replace(read_manifest(bundle), files={}, **changes)
        return publish(store, staging, manifest).path
