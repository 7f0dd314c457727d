"""A bundle's offline evaluation, viewer by viewer: what a gate needs to compare two bundles in pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidBundleError
from storage.arrays import read_npz
from storage.bundles import Manifest, read_manifest

FILE: Final = "offline.npz"

Figures = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OfflineReport:
    """NDCG@20 per viewer, of the bundle and of two lists that know nobody, on the same questions.

    `viewers` are ascending hashes (`viewer_hashes`), so that a bundle's figures name nobody. `question`
    tells evaluations on equal data and splits from others: only those may be paired.
    """

    version: str
    question: str
    viewers: NDArray[np.uint64]
    ndcg: Figures
    trending: Figures
    popularity: Figures

    def columns(self) -> dict[str, Any]:
        """What `offline.npz` holds."""
        return {
            "viewers": self.viewers,
            "ndcg": self.ndcg,
            "trending": self.trending,
            "popularity": self.popularity,
        }


def viewer_hashes(user_ids: Sequence[str]) -> NDArray[np.uint64]:
    """The first eight bytes of each id's SHA-256."""
    parts = [hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).digest()[:8] for user_id in user_ids]
    return np.frombuffer(b"".join(parts), ">u8").astype(np.uint64)


def question_of(data_digest: str, splits_ms: Sequence[int]) -> str:
    """One name for data and splits together."""
    return hashlib.sha256(f"{data_digest} {list(splits_ms)}".encode()).hexdigest()[:16]


def read_report(bundle: Path) -> OfflineReport:
    """The figures of a published bundle.

    Raises:
        InvalidBundleError: the bundle has none, or not in this form.
    """
    manifest: Manifest = read_manifest(bundle)
    if not (bundle / FILE).is_file():
        raise InvalidBundleError(f"{bundle}: file {FILE!r} is missing: there is no offline evaluation")
    data = read_npz(
        bundle / FILE,
        {"viewers": ("<u8", (None,))} | dict.fromkeys(("ndcg", "trending", "popularity"), ("<f4", (None,))),
    )
    if len({len(column) for column in data.values()}) > 1:
        raise InvalidBundleError(f"{bundle}: file {FILE!r} has columns of different length")
    return OfflineReport(manifest.version, str(manifest.evaluation.get("question", "")), **data)
