"""The offline gate refuses what is worse than main or trending, and lets pass what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from deploy.gate import MIN_VIEWERS, compare, gate, offline_gate
from storage.bundles import Manifest, publish, read_manifest, staging_folder
from storage.offline import OfflineReport, question_of, read_report, viewer_hashes

VIEWERS = 400


def report(
    version: str,
    lift: float,
    noise: float = 0.05,
    *,
    question: str = "q",
    viewers: int = VIEWERS,
    seed: int = 0,
) -> OfflineReport:
    """Trending has .2 on average; the model has that plus `lift`, viewers differ alike for every model."""
    level = np.random.default_rng(1).beta(1, 4, viewers)
    own = np.random.default_rng(seed + 2).normal(0, noise, viewers)
    hashes = np.sort(viewer_hashes([f"u{n}" for n in range(viewers)]))
    model = np.clip(level + lift + own - own.mean(), 0, 1)
    return OfflineReport(
        version,
        question,
        hashes,
        model.astype(np.float32),
        level.astype(np.float32),
        (level / 2).astype(np.float32),
    )


def test_a_better_model_passes() -> None:
    result = gate(report("v2", 0.05), report("v1", 0.01))
    assert result.passed
    assert result.reasons == ()
    assert len(result.figures) == 2


def test_the_same_model_again_passes() -> None:
    same = report("v1", 0.02)
    assert gate(same, same).passed
    assert compare(same, same).estimate == 0


def test_worse_than_main_beyond_the_margin_is_refused_with_figures() -> None:
    result = gate(report("v2", 0.02), report("v1", 0.06))
    assert not result.passed
    assert "worse than main (v1) beyond 3%" in result.reasons[0]
    assert "95% interval" in result.reasons[0]
    assert "400 viewers, paired" in result.reasons[0]


def test_worse_than_trending_is_refused_even_when_main_is_worse_still() -> None:
    result = gate(report("v2", -0.05), report("v1", -0.1))
    assert not result.passed
    assert "worse than the trending list" in result.reasons[0]


def test_within_the_margin_of_main_passes() -> None:
    assert gate(report("v2", 0.1, 0.0), report("v1", 0.104, 0.0)).passed


def test_too_few_viewers_cannot_tell() -> None:
    few = report("v2", 0.1, viewers=MIN_VIEWERS - 1)
    result = gate(few, report("v1", 0))
    assert not result.passed
    assert "only 19 viewers came back" in result.reasons[0]


def test_other_data_is_compared_by_the_lift_over_trending() -> None:
    difference = compare(report("v2", 0.05, question="today"), report("v1", 0.05, question="last week"))
    assert not difference.paired
    assert abs(difference.estimate) < 0.01
    assert gate(report("v2", 0.05, question="today"), report("v1", 0.05, question="last week")).passed
    assert not gate(report("v2", 0.0, question="today"), report("v1", 0.05, question="last week")).passed


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Fifty comparisons of models that differ by .01 in truth."""
    covered = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        difference = rng.normal(0.01, 0.1, 100)
        base = report("v1", 0.0, viewers=100)
        ours = OfflineReport(
            "v2",
            "q",
            base.viewers,
            (base.ndcg + difference).astype(np.float32),
            base.trending,
            base.popularity,
        )
        found = compare(ours, base)
        covered += found.low <= 0.01 <= found.high
    assert covered >= 42


def test_the_same_figures_give_the_same_words() -> None:
    assert gate(report("v2", 0.02), report("v1", 0.06)) == gate(report("v2", 0.02), report("v1", 0.06))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    manifest = Manifest(
        version="",
        created_ms=1,
        as_of_ms=1,
        data_digest="d",
        code_revision="",
        encoder="e",
        encoder_digest="e",
        dimensions={},
    )
    for version, lift in (("good", 0.05), ("bad", -0.1), ("none", None)):
        with staging_folder(tmp_path) as staging:
            if lift is not None:
                np.savez(staging / "offline.npz", **report(version, lift).columns())
            publish(
                tmp_path,
                staging,
                msgspec.structs.replace(manifest, version=version, evaluation={"question": "q"}),
            )
    yield tmp_path


def test_the_gate_reads_the_bundles_of_a_store(store: Path) -> None:
    manifests = {version: read_manifest(store / version) for version in ("good", "bad", "none")}
    refusals = offline_gate(store)
    assert list(refusals(manifests["good"], manifests["bad"])) == []
    assert len(refusals(manifests["bad"], manifests["good"])) == 2
    assert "offline.npz" in refusals(manifests["none"], manifests["good"])[0]


def test_a_report_reads_as_it_was_written(store: Path) -> None:
    found, written = read_report(store / "good"), report("good", 0.05)
    assert (found.version, found.question) == ("good", "q")
    for name, column in written.columns().items():
        np.testing.assert_array_equal(found.columns()[name], column)


def test_a_question_is_data_and_splits() -> None:
    assert question_of("d", [1, 2]) == question_of("d", [1, 2])
    assert len({question_of("d", [1, 2]), question_of("e", [1, 2]), question_of("d", [1, 3])}) == 3
