"""From files to a published bundle to lists, with a real Chroma collection and an encoder without weights."""

from __future__ import annotations

import csv
import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.errors import InvalidBundleError, InvalidInputError, RefusedError
from deploy.gate import gate
from inference.recommender.bundle import load_bundle
from storage.bundles import Manifest, list_bundles, open_bundle, publish, read_manifest, staging_folder
from storage.offline import read_report
from tests.small_model import HashEncoder, checkerboard
from training.build import train_bundle
from training.csv_commands import recommend_to_csv, train_from_csv
from training.dataset import Dataset, make_dataset
from training.recipes import BLEND, BROKEN, CONTENT, RANKED, Recipe
from vectordb.collection import VideoCollection


@pytest.fixture(scope="module")
def world() -> Dataset:
    return checkerboard(viewers=80, count=60)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, world: Dataset) -> Path:
    """v1, v2 and v3 as the demo trains them, and v4 with a ranker."""
    folder, encoder = tmp_path_factory.mktemp("store"), HashEncoder()
    for version, recipe in (("v1", CONTENT), ("v2", BLEND), ("v3", BROKEN), ("v4", RANKED)):
        train_bundle(world, recipe, version, folder, encoder)
        assert encoder.encoded == 60, "a text is encoded once, whatever is trained from it"
    return folder


def test_every_bundle_opens_and_says_where_it_comes_from(store: Path, world: Dataset) -> None:
    assert [ref.version for ref in list_bundles(store)] == ["v1", "v2", "v3", "v4"]
    for ref in list_bundles(store):
        model = load_bundle(ref.path, ref.digest)
        manifest = model.manifest
        assert manifest.as_of_ms == manifest.created_ms == world.newest_ms
        assert manifest.data_digest == world.digest()
        assert (manifest.encoder, manifest.encoder_digest) == ("hash", HashEncoder.digest)
        assert manifest.dimensions["videos"] == 60
        assert manifest.evaluation["model"][0]["viewers"] > 0
        assert len(read_report(ref.path).viewers) > 20


def test_the_neighbours_are_of_the_vectors_in_chroma(store: Path, tmp_path: Path) -> None:
    model = load_bundle(store / "v2")
    with VideoCollection.open_copy(store / "v2/chroma", tmp_path / "copy") as collection:
        np.testing.assert_allclose(collection.vectors(model.catalogue.video_ids), model.embeddings, atol=1e-6)
        rows, _ = collection.exact_neighbours(model.catalogue.video_ids, 20)
    np.testing.assert_array_equal(rows, model.neighbours)
    open_bundle(store / "v2")


def test_the_offline_gate_lets_the_blend_pass_and_stops_the_broken_build(store: Path) -> None:
    simple, blend, broken = (read_report(store / version) for version in ("v1", "v2", "v3"))
    assert gate(blend, simple).passed
    assert not gate(broken, blend).passed
    assert not gate(broken, simple).passed


def test_a_ranked_bundle_tells_what_its_sources_find_and_what_its_ranker_goes_by(store: Path) -> None:
    manifest = read_manifest(store / "v4")
    assert {"ranker.txt", "signals.json", "ease.npz", "crowd.npz"} <= manifest.files.keys()
    sources = manifest.evaluation["sources"]
    assert sources["union"] >= max(sources.values())
    assert {"als", "ease", "near_ever", "covisitation", "trending_1d"} <= sources.keys()
    assert len(manifest.evaluation["trending_half_lives_days"]) == len(manifest.evaluation["splits_ms"])
    assert sum(manifest.evaluation["importance"].values()) == pytest.approx(1, abs=0.01)
    assert gate(read_report(store / "v4"), read_report(store / "v1")).passed


def test_too_little_past_for_a_ranker_makes_a_blend(world: Dataset, tmp_path: Path) -> None:
    heard: list[str] = []
    few = world.where(world.viewer < 3)
    made = train_bundle(few, RANKED, "thin", tmp_path, HashEncoder(), say=heard.append, evaluated=False)
    assert any("recipe blend instead" in line for line in heard)
    assert "not evaluated offline: it passes no gate" in heard
    assert "ranker.txt" not in read_manifest(made.path).files
    assert "recipe blend" in read_manifest(made.path).notes
    assert "not evaluated offline" in read_manifest(made.path).notes
    assert not len(read_report(made.path).viewers)


@pytest.mark.parametrize(("version", "recipe"), [("v2", BLEND), ("v4", RANKED)], ids=["blend", "ranked"])
def test_training_again_makes_the_same_model(
    world: Dataset, store: Path, tmp_path: Path, version: str, recipe: Recipe
) -> None:
    again = train_bundle(world, recipe, version, tmp_path, HashEncoder())
    first, second = read_manifest(store / version), read_manifest(again.path)
    different = {name for name in first.files if first.files[name] != second.files.get(name)}
    assert {name.split("/")[0] for name in different} <= {"chroma"}
    assert first.evaluation == second.evaluation


def test_as_of_hides_what_came_later(world: Dataset, tmp_path: Path) -> None:
    as_of_ms = int(np.median(world.at_ms))
    model = load_bundle(train_bundle(world, CONTENT, "then", tmp_path, HashEncoder(), as_of_ms=as_of_ms).path)
    assert model.as_of_ms == as_of_ms
    assert model.histories.at_ms.max() <= as_of_ms
    with pytest.raises(InvalidInputError, match="nothing to train on"):
        train_bundle(world, CONTENT, "never", tmp_path, HashEncoder(), as_of_ms=5)
    assert [ref.version for ref in list_bundles(tmp_path)] == ["then"]


def written(folder: Path, events: Iterable[tuple[object, ...]], items: Iterable[tuple[object, ...]]) -> None:
    for name, header, rows in (
        ("r.csv", ("user", "item", "ts", "rating"), events),
        ("i.csv", ("item", "title", "genres", "overview"), items),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])


def test_from_csv_to_csv(tmp_path: Path) -> None:
    users = ["NA", "7", "ü☂", 'comma, "quote"', "line\u2028separator", " spaces ", "x" * 200]
    items = [(f"id {n}/{'é' * (n % 3)}", f"Title {n} (19{n + 10})", "Drama|War", "") for n in range(12)]
    events = [(u, items[(i + n) % 12][0], 1000 + 60 * n, 4) for i, u in enumerate(users) for n in range(6)]
    written(tmp_path, events, items)
    (tmp_path / "users.txt").write_text("\n".join([*users, "stranger", ""]), encoding="utf-8")
    heard: list[str] = []
    ref = train_from_csv(
        tmp_path / "r.csv", tmp_path / "i.csv", tmp_path / "out/model", HashEncoder(), say=heard.append
    )
    assert ref.path == (tmp_path / "out/model").resolve()
    assert read_manifest(ref.path).as_of_ms == (1000 + 60 * 5) * 1000
    assert recommend_to_csv(ref.path, tmp_path / "users.txt", 4, tmp_path / "recs.csv") == 8
    with (tmp_path / "recs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seen = {(str(u), v) for u, v, *_ in events}
    for user in [*users, "stranger"]:
        own = [row for row in rows if row["user"] == user]
        assert [row["rank"] for row in own] == ["1", "2", "3", "4"]
        assert len({row["item"] for row in own}) == 4
        assert not {(user, row["item"]) for row in own} & seen


ODD: dict[str, tuple[list[tuple[object, ...]], str]] = {
    "one viewer": ([("a", f"m{n}", n, 5) for n in range(4)], "one viewer only"),
    "one interaction": ([("a", "m0", 1, 5)], "one viewer only"),
    "equal times": ([(f"u{n}", f"m{n % 6}", 5, 3) for n in range(30)], "all times are equal"),
    "no repeat viewers": (
        [(f"u{n}", f"m{n % 6}", n, 3) for n in range(30)],
        "no viewer watched more than one",
    ),
    "no ratings": ([(f"u{n % 3}", f"m{n % 6}", n, "") for n in range(30)], "no ratings"),
    "one rating": ([(f"u{n % 5}", f"m{n % 6}", n, 3) for n in range(30)], ""),
    "huge ratings": ([(f"u{n % 5}", f"m{n % 6}", n, 1e30 * n) for n in range(30)], ""),
    "everything watched": ([(f"u{n % 2}", f"m{n % 8}", n, 3) for n in range(64)], ""),
}


@pytest.mark.parametrize(("events", "warning"), ODD.values(), ids=ODD)
@pytest.mark.parametrize("recipe", [CONTENT, BLEND, RANKED], ids=["content", "blend", "ranked"])
def test_odd_data_trains_and_says_what_it_lacks(
    tmp_path: Path, events: list[tuple[object, ...]], warning: str, recipe: object
) -> None:
    written(tmp_path, events, [(f"m{n}", "", "", "") for n in range(8)])
    heard: list[str] = []
    ref = train_from_csv(
        tmp_path / "r.csv",
        tmp_path / "i.csv",
        tmp_path / "model",
        HashEncoder(),
        recipe=recipe,  # type: ignore[arg-type]
        say=heard.append,
    )
    assert any("no video has a genre" in line for line in heard)
    assert any(warning in line for line in heard)
    (tmp_path / "users.txt").write_text("a\nu0\nu1\nstranger\n")
    recommend_to_csv(ref.path, tmp_path / "users.txt", 3, tmp_path / "recs.csv")
    strangers = [line for line in (tmp_path / "recs.csv").read_text().splitlines() if "stranger" in line]
    assert len(strangers) == 3


def test_one_video_is_enough_to_train_but_leaves_nothing_to_show_its_viewer(tmp_path: Path) -> None:
    written(tmp_path, [("a", "m0", 1, 5), ("b", "m0", 2, 5)], [("m0", "Alone", "", "")])
    ref = train_from_csv(tmp_path / "r.csv", tmp_path / "i.csv", tmp_path / "model", HashEncoder())
    (tmp_path / "users.txt").write_text("a\nstranger\n")
    recommend_to_csv(ref.path, tmp_path / "users.txt", 3, tmp_path / "recs.csv")
    assert (tmp_path / "recs.csv").read_text().splitlines() == ["user,item,rank", "stranger,m0,1"]


def test_a_bundle_without_evidence_does_not_pass_the_gate(tmp_path: Path) -> None:
    data = make_dataset(checkerboard().videos, list("aabb"), ["m00", "m02", "m01", "m03"], [5] * 4, [1] * 4)
    train_bundle(data, BLEND, "blind", tmp_path, HashEncoder())
    report = read_report(tmp_path / "blind")
    assert not gate(report, report).passed


def test_a_version_is_trained_once(store: Path, world: Dataset) -> None:
    fewer = world.before(int(np.median(world.at_ms)))
    with pytest.raises(RefusedError, match="'v1' exists in"):
        train_bundle(fewer, CONTENT, "v1", store, HashEncoder())
    assert len(list_bundles(store)) == 4
    assert not list(store.glob(".staging-*"))


def test_what_cannot_become_a_bundle_is_refused_before_anything_is_trained(
    world: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    encoder = HashEncoder()
    for store, version, why in (
        (tmp_path, "no name!", "version 'no name!'"),
        (tmp_path, "file", "'file' exists in"),
        (tmp_path / "file", "v1", "no bundle can be written there"),
    ):
        with pytest.raises((InvalidInputError, RefusedError), match=why):
            train_bundle(world, CONTENT, version, store, encoder)
    assert encoder.encoded == 0


def test_lists_are_written_whole_or_not_at_all(store: Path, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("\ufeffu00\r\n\r\nu00\r\nu01\r\n", encoding="utf-8")
    out = tmp_path / "recs.csv"
    out.write_text("of before")
    with pytest.raises(InvalidInputError, match="count 501"):
        recommend_to_csv(store / "v1", tmp_path / "users.txt", 501, out)
    assert out.read_text() == "of before"
    for nowhere in (tmp_path, tmp_path / "none/recs.csv", out / "recs.csv"):
        with pytest.raises(InvalidInputError, match="cannot be written"):
            recommend_to_csv(store / "v1", tmp_path / "users.txt", 1, nowhere)
    assert recommend_to_csv(store / "v1", tmp_path / "users.txt", 1, out) == 2
    with out.open(encoding="utf-8", newline="") as file:
        assert [row["user"] for row in csv.DictReader(file)] == ["u00", "u01"]
    assert recommend_to_csv(store / "v1", tmp_path / "users.txt", 1, Path(os.devnull)) == 2
    assert not Path(os.devnull).is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"users.txt", "recs.csv"}


def test_a_damaged_bundle_recommends_nothing(store: Path, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("u00\n")
    with pytest.raises(InvalidBundleError, match=r"manifest\.json"):
        recommend_to_csv(tmp_path, tmp_path / "users.txt", 3, tmp_path / "recs.csv")
    assert not (tmp_path / "recs.csv").exists()


KILLS = 50


def test_a_kill_during_publication_leaves_a_whole_bundle_or_none(tmp_path: Path) -> None:
    """Fifty processes publish v0, v1, ... and are killed at some moment on the way."""
    random, killed = np.random.default_rng(0), 0
    context = multiprocessing.get_context("fork")
    for number in range(KILLS):
        ours, theirs = context.Pipe()
        process = context.Process(target=_publish, args=(tmp_path, f"v{number}", theirs))
        process.start()
        ours.recv()
        process.join(float(random.uniform(0, 0.04)))
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
        for ref in list_bundles(tmp_path):
            open_bundle(ref.path, ref.digest)
    assert killed > 0
    print(f"killed {killed} of {KILLS}; {len(list_bundles(tmp_path))} bundles are whole, none is half")


def _publish(store: Path, version: str, begun: multiprocessing.connection.Connection) -> None:  # type: ignore[type-arg]
    manifest = Manifest(
        version=version,
        created_ms=1,
        as_of_ms=1,
        data_digest="d",
        code_revision="",
        encoder="e",
        encoder_digest="e",
        dimensions={},
    )
    with staging_folder(store) as staging:
        begun.send("")
        for number in range(10):
            (staging / f"{number}.json").write_bytes(msgspec.json.encode(list(range(2000))))
        publish(store, staging, manifest)
