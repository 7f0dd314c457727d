"""Write a model to the files of a bundle: npy, uncompressed npz and JSON only."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from inference.recommender.arrays import Signals, SparseRows, Towers
from inference.recommender.blend import FILE as BLEND_FILE
from inference.recommender.bundle import ModelBundle
from inference.recommender.catalogue import VideosFile
from inference.recommender.ranker import FILE as RANKER_FILE
from inference.recommender.reading import TOWERS_FILE
from inference.recommender.signals_file import FILE as SIGNALS_FILE
from storage.offline import FILE as OFFLINE_FILE
from storage.offline import OfflineReport


def write_model(model: ModelBundle, videos: VideosFile, report: OfflineReport, folder: Path) -> None:
    """Every file of the bundle but its manifest and `chroma/`."""
    (folder / "videos.json").write_bytes(msgspec.json.encode(videos))
    (folder / "viewers.json").write_bytes(msgspec.json.encode(list(model.histories.viewer_row)))
    (folder / BLEND_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(model.blend), indent=1))
    np.save(folder / "embeddings.npy", model.embeddings)
    np.save(folder / "neighbours.npy", model.neighbours)
    np.save(folder / "neighbour_scores.npy", model.neighbour_scores)
    _write_histories(model, folder)
    _write_trends(model, folder)
    _write_optional(model, folder)
    np.savez(folder / OFFLINE_FILE, **report.columns())


def _write_histories(model: ModelBundle, folder: Path) -> None:
    of = model.histories
    np.savez(folder / "history.npz", indptr=of.indptr, videos=of.videos, at_ms=of.at_ms, value=of.values)


def _write_trends(model: ModelBundle, folder: Path) -> None:
    of = model.trends
    np.savez(
        folder / "trending.npz",
        half_lives_days=of.half_lives_days,
        scores=of.scores,
        popularity=of.popularity,
        rating_mean=of.rating_mean,
    )


def _write_optional(model: ModelBundle, folder: Path) -> None:
    if model.factors is not None:
        np.save(folder / "als_videos.npy", model.factors.videos)
        if model.factors.viewers is not None:
            np.save(folder / "als_viewers.npy", model.factors.viewers)
    if model.covisitation is not None:
        _write_sparse(model.covisitation, folder / "covisitation.npz")
    if model.signals is not None:
        _write_signals(model.signals, folder)
    if model.towers is not None:
        _write_towers(model.towers, folder)
    if model.ranker is not None:
        (folder / RANKER_FILE).write_text(model.ranker.text, encoding="utf-8")


def _write_signals(signals: Signals, folder: Path) -> None:
    facts, crowd = signals.facts, signals.crowd
    (folder / SIGNALS_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(signals.how), indent=1))
    np.save(folder / "als_recent_videos.npy", signals.factors_recent.videos)
    _write_sparse(signals.ease, folder / "ease.npz")
    _write_sparse(signals.covisitation_recent, folder / "covisitation_recent.npz")
    _write_sparse(crowd.watchers, folder / "crowd.npz")
    np.savez(folder / "crowd_recent.npz", idf=crowd.idf, recent=crowd.recent, recent_days=crowd.recent_days)
    np.savez(
        folder / "video_facts.npz",
        regular_half_lives_days=facts.regular_half_lives_days,
        regulars=facts.regulars,
        seen_ms=facts.seen_ms,
        rating=facts.rating,
        rating_spread=facts.rating_spread,
    )


def _write_towers(of: Towers, folder: Path) -> None:
    np.save(folder / "towers_videos.npy", of.videos)
    np.savez(
        folder / TOWERS_FILE, hidden=of.hidden, hidden_bias=of.hidden_bias, out=of.out, out_bias=of.out_bias
    )


def _write_sparse(rows: SparseRows, path: Path) -> None:
    np.savez(path, indptr=rows.indptr, indices=rows.indices, data=rows.data)
