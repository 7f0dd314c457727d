"""F17: a publisher killed at any moment leaves whole bundles or none, and the old one serves."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest

from storage.bundles import Manifest, digest_of, list_bundles, open_bundle, publish, staging_folder
from tests.serving import ROOT


def publish_one(store: Path, version: str) -> None:
    """A bundle of some 400 KB in four files, different for each version."""
    with staging_folder(store) as staging:
        for number in range(4):
            (staging / f"part-{number}.bin").write_bytes(
                random.Random(f"{version}{number}").randbytes(100_000)
            )
        publish(store, staging, _manifest(version))


def publish_for_ever(store: Path, first: str) -> None:
    """One version after the other, each told on standard output once it is there."""
    for number in itertools.count():
        publish_one(store, f"{first}-{number}")
        print(number, flush=True)


def kill_publishers(store: Path, times: int, seed: int) -> None:
    draw = random.Random(seed)
    publish_one(store, "old")
    old = digest_of(store / "old")
    for attempt in range(times):
        code = f"from tests.faults.test_publication_kills import *; publish_for_ever(Path({str(store)!r}), 'v{attempt}')"
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as publisher:
            assert publisher.stdout is not None
            told = [publisher.stdout.readline() for _ in range(draw.randint(1, 4))]
            publisher.kill()  # somewhere within the next one
        assert all(told)
        for ref in list_bundles(store):
            open_bundle(ref.path, ref.digest)
        names = {ref.version for ref in list_bundles(store)}
        assert {"old", *(f"v{attempt}-{number}" for number in range(len(told)))} <= names
        open_bundle(store / "old", old)


def test_publishers_killed_some_times(tmp_path: Path) -> None:
    kill_publishers(tmp_path, 2, seed=1)


@pytest.mark.long
def test_publishers_killed_fifty_times(tmp_path: Path) -> None:
    kill_publishers(tmp_path, 50, seed=2)


def _manifest(version: str) -> Manifest:
    return Manifest(
        version=version,
        created_ms=1,
        as_of_ms=1,
        data_digest="sha256:d",
        code_revision="",
        encoder="e",
        encoder_digest="sha256:e",
        dimensions={},
    )
