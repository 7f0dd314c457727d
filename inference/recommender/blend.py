"""How a bundle without a ranker orders its candidates: a weighted sum of normalised scores (`blend.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidBundleError

FILE: Final = "blend.json"
SOURCE_NAMES: Final = frozenset(
    {
        "content",
        "als",
        "als_recent",
        "ease",
        "ease_now",
        "covisitation",
        "covisitation_recent",
        "near_2d",
        "near_8d",
        "near_32d",
        "near_ever",
        "close_8d",
        "trending",
        "new",
        "popularity",
        "towers",
    }
)
PROPERTY_NAMES: Final = frozenset({"popularity", "rating"})


class FoldIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ALS was trained with: needed to compute a viewer's factor from a live history.

    `alpha` is the confidence in what was watched; what exceeds 1 of it halves every `half_life_days`.
    """

    alpha: float
    regularization: float
    half_life_days: float | None = None


class Blend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `blend.json`.

    `sources` weighs candidate sources; only those named here propose videos. `properties` weighs what a
    video is worth by itself ("popularity", "rating") and proposes none. `half_life_days` is that of the
    trending source. `descending: false` turns the ranking of the whole catalogue upside down: a broken
    build, for demonstrations and tests of the release machinery. `diversity` (0 to 1) weighs likeness to what
    is already listed against relevance, and `cold_share` of the places go to cold videos; both only where
    lists are served, not where they are evaluated.
    """

    sources: dict[str, float]
    properties: dict[str, float] = {}  # msgspec copies an empty default for each instance
    half_life_days: float = 14.0
    als: FoldIn | None = None
    descending: bool = True
    diversity: float = 0.0
    cold_share: float = 0.0


def read_blend(path: Path) -> Blend:
    """The blend in a bundle's `blend.json`.

    Raises:
        InvalidBundleError: not such a file, or a weight that is no finite number.
    """
    try:
        blend = msgspec.json.decode(path.read_bytes(), type=Blend)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise InvalidBundleError(f"{path.parent}: file {path.name!r} is no blend: {error}") from None
    _check(path, blend)
    return blend


def _check(path: Path, blend: Blend) -> None:
    unknown = (blend.sources.keys() - SOURCE_NAMES) | (blend.properties.keys() - PROPERTY_NAMES)
    if unknown or not blend.sources:
        raise InvalidBundleError(
            f"{path.parent}: file {path.name!r} needs a source and knows no {sorted(unknown)}; "
            f"there are {sorted(SOURCE_NAMES)} and {sorted(PROPERTY_NAMES)}"
        )
    if not (0 <= blend.diversity <= 1 and 0 <= blend.cold_share <= 1):
        raise InvalidBundleError(
            f"{path.parent}: file {path.name!r} needs diversity and cold share in 0 to 1"
        )
    numbers = [*blend.sources.values(), *blend.properties.values(), blend.half_life_days]
    if not all(np.isfinite(number) for number in numbers) or blend.half_life_days <= 0:
        raise InvalidBundleError(
            f"{path.parent}: file {path.name!r} needs finite weights and a half-life above 0"
        )


def normalised(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores of one source between 0 (no evidence) and 1 (its best candidate).

    The square root lifts the middle of a source's list against its top: counts and cosines are skewed.
    """
    best = scores.max(initial=0.0)
    return np.sqrt(np.clip(scores, 0, None) / best) if best > 0 else np.zeros_like(scores)


def contributions(
    scores: Mapping[str, NDArray[np.float32]], weights: Mapping[str, float]
) -> dict[str, NDArray[np.float32]]:
    """What each named score adds to each candidate: weight times normalised score."""
    return {name: np.float32(weights[name]) * normalised(values) for name, values in scores.items()}
