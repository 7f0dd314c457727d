"""The videos that came after the bundle was built: looked for in the catalogue and encoded, never by a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrivals import Arrivals, nothing_new
from inference.recommender.bundle import ModelBundle
from storage.serving_store import VIDEO_CATALOG, Document, ServingStore, scan_all
from vectordb.encoder import video_text

LOOK_S: Final = 60.0
MOST: Final = 500  # the newest; with more it is time for a new bundle

Vector = NDArray[np.float32]


class ArrivalWatch:
    """`current` is what the last look found, at most the `most` newest."""

    def __init__(
        self, store: ServingStore, model: ModelBundle, encode: Callable[[str], Vector], most: int = MOST
    ) -> None:
        self._store = store
        self._most = most
        self._known = model.catalogue.row_of
        self._encode = encode
        self._vectors: dict[str, Vector] = {}  # by text
        self.current = nothing_new(model.embeddings.shape[1])

    def refresh(self) -> None:
        """Look once.

        Raises:
            DependencyError: the store did not answer, or there is no encoder; `current` stays.
        """
        found = [(key, of) for key, of in scan_all(self._store, VIDEO_CATALOG) if key not in self._known]
        if not found:
            return
        newest = sorted(found, key=lambda pair: (-pair[1]["added_ms"], pair[0]))[: self._most]
        texts = [_text(of) for _, of in newest]
        self._vectors = {text: self._vector(text) for text in texts}
        self.current = Arrivals(
            tuple(key for key, _ in newest),
            np.array([self._vectors[text] for text in texts], np.float32),
            tuple(frozenset(genre.lower() for genre in of["genres"]) for _, of in newest),
        )

    def _vector(self, text: str) -> Vector:
        known = self._vectors.get(text)
        return self._encode(text) if known is None else known


def _text(of: Document) -> str:
    return video_text(of["title"], of["year"], of["genres"])
