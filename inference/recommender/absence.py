"""Why a video is not in a list: the first step that dropped it, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import I32
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Request
from inference.recommender.profile import Profile


def why_absent(
    model: ModelBundle,
    request: Request,
    profile: Profile,
    proposed: Mapping[str, I32],
    order: I32,
    shown: I32,
) -> str:
    """What became of `request.explain_video`; `order` has all ranked candidates, `shown` the list."""
    row = model.catalogue.row_of.get(request.explain_video or "", -1)
    if row in shown:
        return f"shown: at place {_place(shown, row)}"
    hidden = _hidden(model, request, profile, row)
    if hidden:
        return hidden
    sources = [name for name, rows in proposed.items() if row in rows]
    if not sources:
        return "not proposed: it is not among the best of any source"
    if row not in order:
        return f"cut: proposed by {', '.join(sources)}, but too few of them agree on it"
    place = _place(order, row)
    if place <= len(shown):
        return f"diversity: ranked at place {place}, but others make the list less of one kind"
    return f"ranked: proposed by {', '.join(sources)}, at place {place} of {len(order)}"


def _hidden(model: ModelBundle, request: Request, profile: Profile, row: int) -> str:
    if row < 0:
        return "unknown: this version was built without it"
    if row in profile.rows:
        return "watched: this viewer has watched it"
    if request.explain_video in (*request.exclude, request.context_video):
        return "excluded: by the request"
    if request.genre is not None and not model.catalogue.in_genre(request.genre)[row]:
        return f"filtered: it is not of the genre {request.genre!r}"
    return ""


def _place(rows: NDArray[np.int32], row: int) -> int:
    return int(np.flatnonzero(rows == row)[0]) + 1
