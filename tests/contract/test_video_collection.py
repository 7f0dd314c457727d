"""The Chroma collection by its rules: exact content back, bad input refused before Chroma sees it, one owner."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInputError, RefusedError
from vectordb.collection import VideoCollection
from vectordb.neighbours import neighbour_table

COUNT, WIDTH = 300, 8
IDS = tuple(f"m{n}" for n in range(COUNT))


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:  # type: ignore[type-arg]
    found = np.random.default_rng(0).normal(size=(COUNT, WIDTH)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Iterator[VideoCollection]:  # type: ignore[type-arg]
    with VideoCollection.create(tmp_path_factory.mktemp("chroma"), WIDTH) as made:
        made.add(IDS, vectors)
        yield made


def test_vectors_come_back_in_the_order_asked_for(collection: VideoCollection, vectors: np.ndarray) -> None:  # type: ignore[type-arg]
    assert collection.count() == COUNT
    some = [7, 299, 0]
    np.testing.assert_allclose(collection.vectors([IDS[n] for n in some]), vectors[some], atol=1e-6)


def test_a_vector_may_be_asked_for_twice_and_none_at_all(collection: VideoCollection) -> None:
    assert len(collection.vectors(["m7", "m7"])) == 2
    assert collection.vectors([]).shape == (0, WIDTH)


def test_the_exact_table_is_of_the_stored_vectors(collection: VideoCollection, vectors: np.ndarray) -> None:  # type: ignore[type-arg]
    rows, cosines = collection.exact_neighbours(IDS, 5)
    expected, near = neighbour_table(vectors, 5)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(cosines, near, atol=1e-5)


def test_the_index_finds_most_of_the_exact_neighbours(
    collection: VideoCollection, vectors: np.ndarray
) -> None:  # type: ignore[type-arg]
    ids, distances = collection.neighbours(vectors, 6)
    rows, _ = neighbour_table(vectors, 5)
    found = [set(near) - {IDS[n]} for n, near in enumerate(ids)]
    exact = [{IDS[row] for row in of} for of in rows.tolist()]
    assert sum(len(a & b) for a, b in zip(found, exact, strict=True)) / (5 * COUNT) > 0.95
    assert max(near[0] for near in distances) < 1e-5


@pytest.mark.parametrize(
    ("ids", "made", "message"),
    [
        (["new"], np.zeros((1, WIDTH)), "vector 0 has length 0"),
        (["new"], np.full((1, WIDTH), np.nan), "vector 0 has length nan"),
        (["new"], np.full((1, WIDTH), np.inf), "vector 0 has length inf"),
        (["new"], np.ones((1, WIDTH + 1)), "the collection's have 8 numbers"),
        (["new", "old"], np.ones((1, WIDTH)), "2 videos, but 1 vectors"),
        (["new", "new"], np.ones((2, WIDTH)), "twice in one batch"),
        (["m0"], np.ones((1, WIDTH)), "'m0' is in the collection already"),
        (["x" * 100_000], np.ones((1, WIDTH)), "is not 1 to 512 characters"),
        ([""], np.ones((1, WIDTH)), "is not 1 to 512 characters"),
        (["a\0b"], np.ones((1, WIDTH)), "without NUL"),
        (["\ud800"], np.ones((1, WIDTH)), "is not 1 to 512 characters"),
    ],
)
def test_bad_videos_are_refused_and_nothing_is_added(
    collection: VideoCollection,
    ids: list[str],
    made: np.ndarray,
    message: str,  # type: ignore[type-arg]
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        collection.add(ids, made.astype(np.float32))
    assert collection.count() == COUNT


def test_a_query_without_a_direction_is_refused(collection: VideoCollection) -> None:
    for bad in (np.full((1, WIDTH), np.nan), np.zeros((1, WIDTH)), np.ones((1, 3))):
        with pytest.raises(InvalidInputError):
            collection.neighbours(bad.astype(np.float32), 3)


def test_an_unknown_video_is_named(collection: VideoCollection) -> None:
    with pytest.raises(InvalidInputError, match="'nowhere' has no vector"):
        collection.vectors(["m1", "nowhere"])


def test_more_than_chroma_takes_at_once_goes_in_batches(tmp_path: Path) -> None:
    count = 6_000  # Chroma 1.5 takes 5,461
    vectors = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    with VideoCollection.create(tmp_path, 2) as made:
        made.add([str(n) for n in range(count)], vectors)
        assert made.count() == count
        assert len(made.vectors([str(n) for n in range(count)])) == count


def test_a_bundles_folder_is_copied_and_never_written(tmp_path: Path, vectors: np.ndarray) -> None:  # type: ignore[type-arg]
    with VideoCollection.create(tmp_path / "bundle", WIDTH) as made:
        made.add(IDS, vectors)
    before = content(tmp_path / "bundle")
    with VideoCollection.open_copy(tmp_path / "bundle", tmp_path / "private") as copy:
        assert copy.dimension == WIDTH
        assert copy.count() == COUNT
        copy.add(["later"], vectors[:1])
    assert content(tmp_path / "bundle") == before


def test_a_second_process_is_refused_clearly(tmp_path: Path) -> None:
    with VideoCollection.create(tmp_path, WIDTH):
        other = subprocess.run(
            [sys.executable, "-c", SECOND, str(tmp_path)], capture_output=True, text=True, check=False
        )
        with pytest.raises(RefusedError, match="another process has the vector store"):
            VideoCollection(tmp_path, dimension=None)
    assert "RefusedError" in other.stderr
    with VideoCollection(tmp_path, dimension=None) as again:
        assert again.count() == 0


def test_a_folder_without_a_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no usable collection"):
        VideoCollection(tmp_path, dimension=None)


def test_a_damaged_store_is_refused_and_let_go(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"nonsense" * 100)
    for _ in range(2):  # the second would be told of another owner, were the lock kept
        with pytest.raises(InvalidInputError, match="no usable collection"):
            VideoCollection(tmp_path, dimension=None)


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


SECOND = """
import sys
from pathlib import Path
from vectordb.collection import VideoCollection
VideoCollection(Path(sys.argv[1]), dimension=None)
"""
