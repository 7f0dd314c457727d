"""What one recommendation is computed from: the request, the viewer's profile, the live window, the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY
from core.errors import InvalidInputError
from inference.recommender.arrays import F32, I32
from inference.recommender.bundle import ModelBundle
from inference.recommender.moment import Moment
from inference.recommender.profile import Profile

MAX_COUNT = 500
RECENT = 50  # sources that follow single videos follow this many of the last watched
HISTORY = 300  # sources that weigh the whole history look at this many of the last watched

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What a viewer's application asks for. `context_video` is what the viewer looks at right now.

    `explain_video` asks what became of that video. `sinking` says how often videos were shown lately.
    """

    user_id: str
    count: int = 20
    exclude: tuple[str, ...] = ()
    genre: str | None = None
    context_video: str | None = None
    explain: bool = False
    explain_video: str | None = None
    sinking: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise InvalidInputError(f"count {self.count} is not between 1 and {MAX_COUNT}")


@dataclass(frozen=True, slots=True)
class LiveTrending:
    """What is watched right now: one count per video row, from the windows since the bundle was built.

    `moment` is what a ranker needs of it, made beside the requests; without it the first request makes it.
    """

    counts: F32
    moment: Moment | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """The arguments of every candidate source."""

    profile: Profile
    now_ms: int
    live: LiveTrending | None = None
    context_row: int = -1
    _made: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def recent(self) -> I32:
        """Rows to start from, oldest first: the last 50 watched, then the context video."""
        rows = self.profile.rows[-RECENT:]
        return rows if self.context_row < 0 else np.append(rows, np.int32(self.context_row))

    @property
    def history(self) -> I32:
        """The last 300 watched, oldest first, then the context video."""
        return self.once("history", self._history)

    def _history(self) -> I32:
        rows = self.profile.rows[-HISTORY:]
        return rows if self.context_row < 0 else np.append(rows, np.int32(self.context_row))

    @property
    def history_days(self) -> F32:
        """Days since each of `history`."""
        return self.once("history days", self._history_days)

    def _history_days(self) -> F32:
        days = np.maximum(self.now_ms - self.profile.at_ms[-HISTORY:], 0) / DAY
        return (days if self.context_row < 0 else np.append(days, 0)).astype(np.float32)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What several sources share, made by the first that asks."""
        if name not in self._made:
            self._made[name] = make()
        found: T = self._made[name]
        return found


def allowed_rows(model: ModelBundle, request: Request, profile: Profile) -> NDArray[np.bool_]:
    """Mask of what may be shown: not watched, not excluded, not on screen already, of the genre asked for.

    Raises:
        InvalidInputError: the genre is unknown.
    """
    mask = (
        np.ones(len(model.catalogue), np.bool_)
        if request.genre is None
        else model.catalogue.in_genre(request.genre).copy()
    )
    mask[profile.rows] = False
    hidden = request.exclude if request.context_video is None else (*request.exclude, request.context_video)
    if hidden:
        mask[model.catalogue.rows(hidden)] = False
    return mask
