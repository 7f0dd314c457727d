"""Bundles that carry an offline evaluation and nothing else, for tests of what reads one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from storage.bundles import Manifest, publish, staging_folder
from storage.offline import FILE, OfflineReport, viewer_hashes

VIEWERS = 300
SPLITS_MS = [1_700_000_000_000, 1_700_600_000_000]


def offline_report(version: str, lift: float, viewers: int = VIEWERS, question: str = "q") -> OfflineReport:
    """Viewers differ alike for every version; the model has what trending has plus `lift`."""
    generator = np.random.default_rng(5)
    level = generator.beta(1, 4, viewers).astype(np.float32)
    noise = np.where(generator.random(viewers) < 0.3, 0, generator.normal(0, 0.05, viewers))
    model = np.where(noise == 0, level, np.clip(level + lift + noise, 0, 1)).astype(np.float32)
    hashes = np.sort(viewer_hashes([f"u{n}" for n in range(viewers)]))
    return OfflineReport(version, question, hashes, model, level, level / 2)


def summary(ndcg: float, viewers: int = 200) -> dict[str, float]:
    """What an evaluation says of one list at one split."""
    return {
        "viewers": viewers,
        "ndcg@20": ndcg,
        "recall@20": ndcg * 1.2,
        "hit@10": min(1.0, ndcg * 3),
        "coverage@20": 0.21,
        "cold_share": 0.04,
        "gini": 0.9,
    }


def evaluation(report: OfflineReport, **more: Any) -> dict[str, Any]:
    """An evaluation as a manifest holds it."""
    parts: dict[str, Any] = {
        name: [summary(float(values.mean())) for _ in SPLITS_MS] if len(values) else []
        for name, values in (
            ("model", report.ndcg),
            ("trending", report.trending),
            ("popularity", report.popularity),
        )
    }
    return {
        "question": report.question,
        "splits_ms": SPLITS_MS if len(report.viewers) else [],
        "trending_half_lives_days": [3.0, 0.5],
        **parts,
        **more,
    }


def manifest_of(report: OfflineReport, notes: str = "recipe blend", **more: Any) -> Manifest:
    """A manifest around it."""
    return Manifest(
        version=report.version,
        created_ms=SPLITS_MS[-1],
        as_of_ms=SPLITS_MS[-1],
        data_digest="sha256:data",
        code_revision="",
        encoder="hash",
        encoder_digest="sha256:encoder",
        dimensions={"videos": 1_682, "viewers": 943, "embedding": 16},
        evaluation=evaluation(report, **more),
        notes=notes,
    )


def publish_evaluation(store: Path, report: OfflineReport, notes: str = "recipe blend", **more: Any) -> Path:
    """The folder of a bundle with this evaluation."""
    with staging_folder(store) as staging:
        np.savez(staging / FILE, **report.columns())
        return publish(store, staging, manifest_of(report, notes, **more)).path
