"""The encoder of text searches: opened at the start, or at a later search if it is exported only then."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

from core.errors import DependencyError, InvalidSettingError
from vectordb.encoder import Encoder, Vectors

logger = logging.getLogger(__name__)

OPENING_S: Final = 0.4  # below the load balancer's patience


class QueryEncoder:
    """Thread-safe. What cannot be opened is tried again at the next search: it may have been put there since."""

    def __init__(self, open_encoder: Callable[[], Encoder]) -> None:
        self._open = open_encoder
        self._opening = threading.Lock()
        self._encoder: Encoder | None = None

    def warm(self) -> None:
        """Open it and encode once, so that no search waits for it; where there is none, go on without."""
        with contextlib.suppress(DependencyError):
            self.encode("warm-up")

    def encode(self, text: str) -> Vectors:
        """The unit vector (d,) of a text.

        Raises:
            DependencyError: there is no encoder here, or it is still being opened.
        """
        vector: Vectors = self._opened().encode([text])[0]
        return vector

    def _opened(self) -> Encoder:
        if self._encoder is not None:
            return self._encoder
        if not self._opening.acquire(timeout=OPENING_S):
            raise DependencyError("the text encoder is being opened: try again")
        try:
            self._encoder = self._encoder or self._open()
        except InvalidSettingError as error:
            logger.warning("no text search: %s", error)
            raise DependencyError("there is no text search here: this version's encoder is missing") from None
        finally:
            self._opening.release()
        return self._encoder
