"""Vectors of the videos' texts: encoded once per text and encoder, kept in a cache beside the bundles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.arrays import read_npz
from training.dataset import F32, Videos
from training.fit import Vectors
from vectordb.collection import VideoCollection
from vectordb.encoder import Encoder, video_text


def build_vectors(videos: Videos, encoder: Encoder, cache: Path, chroma: Path, neighbours: int) -> Vectors:
    """Encode what the cache lacks, fill a new Chroma collection, and make the neighbour table from it.

    Args:
        videos: the catalogue; its row order is that of every array returned.
        encoder: makes the vectors; never called when the cache has every text.
        cache: a folder for encoded texts.
        chroma: where the collection is made; it must not exist yet.
        neighbours: how many per video.
    """
    encoded = encode_cached(texts_of(videos), encoder, cache)
    with VideoCollection.create(chroma, encoder.dimension) as collection:
        collection.add(videos.ids, encoded)
        stored = collection.vectors(videos.ids)
        rows, cosines = collection.exact_neighbours(videos.ids, neighbours)
    return Vectors(encoder.name, encoder.digest, stored, rows, cosines)


def texts_of(videos: Videos) -> list[str]:
    """What the encoder reads of each video."""
    columns = zip(videos.titles, videos.years, videos.genres, videos.overviews, strict=True)
    return [video_text(title, year, genres, overview) for title, year, genres, overview in columns]


def encode_cached(texts: Sequence[str], encoder: Encoder, cache: Path) -> F32:
    """Vectors of the texts, in their order; only texts that the cache lacks are encoded, each once."""
    file = cache / f"vectors-{encoder.digest.removeprefix('sha256:')[:16]}.npz"
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
    known = _read(file, encoder.dimension)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        # Texts of like length in one batch waste no padding.
        ordered = sorted(missing, key=lambda key: len(missing[key]))
        vectors = encoder.encode([missing[key] for key in ordered])
        known |= dict(zip(ordered, vectors, strict=True))
        _write(file, known)
    return np.array([known[key] for key in keys], np.float32)


def _read(file: Path, dimension: int) -> dict[bytes, F32]:
    if not file.is_file():
        return {}
    data = read_npz(file, {"keys": ("|u1", (None, 32)), "vectors": ("<f4", (None, dimension))})
    return {key.tobytes(): vector for key, vector in zip(data["keys"], data["vectors"], strict=True)}


def _write(file: Path, known: dict[bytes, F32]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.stem}-{os.getpid()}.tmp.npz")
    keys = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 32)
    np.savez(beside, keys=keys, vectors=np.array(list(known.values()), np.float32))
    beside.replace(file)
