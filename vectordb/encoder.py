"""The encoder port: from the text of a video to a unit vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """One model with its weights. `digest` changes whenever an equal text may get another vector."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Float32 (n, dimension), each row of length 1, in the order of the texts."""
        ...


def video_text(title: str, year: int | None, genres: Sequence[str], overview: str = "") -> str:
    """What an encoder reads of a video; a part that is missing leaves no trace."""
    named = f"{title} ({year})" if year and str(year) not in title else title
    parts = [named, f"Genres: {', '.join(genres)}" if genres else "", overview]
    return ". ".join(part.strip() for part in parts if part.strip()) or "untitled"


def whole_characters(text: str) -> str:
    """The text without half a character (a lone surrogate), which no tokenizer takes: U+FFFD stands there."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
