"""What an evaluation is fed with: one `Look` for each point of the grid, made of plain arrays.

Viewers are whole numbers from 0 to 2^63 - 1, in any numbering. Results do not depend on the numbering, on the
order of rows, nor on how rows are split: everything that is summed is a whole number, so that sums are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LARGEST = 2**31 - 1  # of stages and counts
LARGEST_VIEWER = 2**63 - 1


def _empty() -> Ints:
    return np.empty(0, np.int64)


def _no() -> Bools:
    return np.empty(0, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Matured:
    """Requests whose outcome became final since the last look, by viewer, stage and assigned arm.

    `stage` counts from 1; rows of stage 0 (outside the comparison, as while main plays alone) are ignored.
    A viewer may have several rows. `successes` is at most `requests`.
    """

    viewer: Ints = field(default_factory=_empty)
    stage: Ints = field(default_factory=_empty)
    canary: Bools = field(default_factory=_no)
    requests: Ints = field(default_factory=_empty)
    successes: Ints = field(default_factory=_empty)

    def __post_init__(self) -> None:
        _whole_numbers(self, "matured", ("viewer", "stage", "requests", "successes"))
        _truths(self, "matured", self.viewer.size)
        if (self.successes > self.requests).any():
            raise InvalidInputError("matured: a row has more successes than requests")


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Requests answered since the last look, matured or not: what guardrails and the sample ratio look at.

    `events[guardrail]` counts the row's requests with that event. A guardrail that could not be measured in
    this look (no latency threshold yet) is left out, and its exposures do not count either. One of the usual
    guardrails that the plan does without may be given; any other name is refused.
    """

    viewer: Ints = field(default_factory=_empty)
    stage: Ints = field(default_factory=_empty)
    canary: Bools = field(default_factory=_no)
    requests: Ints = field(default_factory=_empty)
    events: Mapping[str, Ints] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _whole_numbers(self, "served", ("viewer", "stage", "requests"))
        _truths(self, "served", self.viewer.size)
        events = {name: _ints(f"served {name}", counts) for name, counts in self.events.items()}
        for name, counts in events.items():
            if counts.shape != self.viewer.shape or (counts > self.requests).any():
                raise InvalidInputError(f"served: {name} must be one count per row, at most its requests")
        object.__setattr__(self, "events", events)


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What viewers did before the release, for CUPED; given with or before a viewer's first matured row."""

    viewer: Ints = field(default_factory=_empty)
    requests: Ints = field(default_factory=_empty)
    successes: Ints = field(default_factory=_empty)

    def __post_init__(self) -> None:
        _whole_numbers(self, "before", ("viewer", "requests", "successes"))
        if (self.successes > self.requests).any():
            raise InvalidInputError("before: a row has more successes than requests")


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Everything that became known between two points of the grid.

    `blind_ms`: for how long, at `at_ms`, nothing had been heard (0: the data are fresh). None: since the last
    look with rows, once that is longer than the plan's `stale_after_ms`. `abort`: why a person ended the
    release; empty: nobody did.
    """

    at_ms: int
    matured: Matured = field(default_factory=Matured)
    served: Served = field(default_factory=Served)
    before: Before = field(default_factory=Before)
    blind_ms: int | None = None
    abort: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.at_ms):
            raise InvalidInputError(f"a look at {self.at_ms!r}: whole milliseconds are needed")


def _ints(name: str, values: Any) -> Ints:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidInputError(f"{name} must be a one-dimensional array of whole numbers, not {array.dtype}")
    largest = LARGEST_VIEWER if name.endswith(" viewer") else LARGEST
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= largest:
        raise InvalidInputError(f"{name} must lie between 0 and {largest}")
    return array.astype(np.int64, copy=False)


def _whole_numbers(rows: Any, what: str, names: tuple[str, ...]) -> None:
    size = None
    for name in names:
        array = _ints(f"{what} {name}", getattr(rows, name))
        size = array.size if size is None else size
        if array.size != size:
            raise InvalidInputError(f"{what}: {name} has {array.size} rows, {names[0]} has {size}")
        object.__setattr__(rows, name, array)


def _truths(rows: Any, what: str, size: int) -> None:
    array = np.asarray(rows.canary)
    if array.shape != (size,) or (array.size and array.dtype != np.bool_):
        raise InvalidInputError(f"{what}: canary must be {size} booleans")
    object.__setattr__(rows, "canary", array.astype(np.bool_, copy=False))
