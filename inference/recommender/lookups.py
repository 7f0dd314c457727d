"""Lists that belong to no viewer: what is close to a text or to a video, and what is trending. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, I32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context, LiveTrending, Request, allowed_rows
from inference.recommender.profile import profile_of
from inference.recommender.sources import trending

Mask = NDArray[np.bool_]
NOBODY = ""  # no viewer can have this id


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of the bundle, the best first, with their cosines or decayed counts."""

    rows: I32
    scores: F32


def shown(model: ModelBundle, genre: str | None, exclude: tuple[str, ...]) -> Mask:
    """Mask over rows of what may be listed.

    Raises:
        InvalidInputError: the genre is unknown.
    """
    return allowed_rows(model, Request(NOBODY, 1, exclude, genre), profile_of(model, NOBODY, None))


def near_text(model: ModelBundle, vector: F32, allowed: Mask, count: int) -> Listing:
    """The allowed videos closest to a vector (d,) of length 1, by exact cosine over the whole catalogue."""
    return _first(model.embeddings @ vector, allowed, count)


def near_video(model: ModelBundle, row: int, allowed: Mask, count: int) -> Listing:
    """The allowed videos closest to the one in `row`, itself left out.

    From the neighbour table; where that is too short for what is asked, from all cosines, in the same order.
    """
    neighbours = model.neighbours[row]
    keep = (neighbours >= 0) & allowed[neighbours]
    if int(keep.sum()) >= count:
        return Listing(neighbours[keep][:count], model.neighbour_scores[row][keep][:count])
    others = allowed.copy()
    others[row] = False
    return near_text(model, model.embeddings[row], others, count)


def trending_now(
    model: ModelBundle, live: LiveTrending | None, now_ms: int, allowed: Mask, count: int
) -> Listing:
    """What is watched most lately, by the bundle's counts and the live window's; only what anybody watched."""
    context = Context(profile_of(model, NOBODY, None), now_ms, live)
    scores = trending.scores(model, context).values
    return _first(scores, allowed & (scores > 0), count)


def _first(scores: F32, allowed: Mask, count: int) -> Listing:
    rows = np.flatnonzero(allowed).astype(np.int32)
    if len(rows) > count:
        # Everything as good as the last one that fits, so that the order decides between equals, not chance.
        limit = np.partition(scores[rows], len(rows) - count)[len(rows) - count]
        rows = rows[scores[rows] >= limit]
    rows = rows[np.argsort(-scores[rows], kind="stable")[:count]]
    return Listing(rows, scores[rows])
