"""Exposures and interactions as columns, and the sorted arrays that outcomes are worked out on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deploy.crediting import AsGiven, Bools, Ints, Kept, Keys, Objects

Floats = NDArray[np.float64]

WATCHED_PERCENTAGE = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class ExposureColumns:
    """Exposures of one release, one entry per request in each column, in any order.

    `items` holds the JSON text of the list as stored, or the list itself.
    `arm_served` (the arm that answered) may be left out; then nobody is known to have fallen back.
    """

    request_id: Sequence[str]
    user_id: Sequence[str]
    served_ms: Sequence[int] | Ints
    arm_assigned: Sequence[str]
    stage: Sequence[int] | Ints
    items: Sequence[str | Sequence[str]]
    forced: Sequence[bool] | Bools
    outcome: Sequence[str]
    latency_ms: Sequence[float] | Floats
    arm_served: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class InteractionColumns:
    """Interactions, one entry per event in each column, in any order; those that are no success are skipped.

    `watch_percentage` is None or NaN where an event has none. `event_id` may be left out where the rows are
    known to be distinct.
    """

    user_id: Sequence[str]
    video_id: Sequence[str | None]
    event_type: Sequence[str]
    watch_percentage: Sequence[float | None] | Floats
    request_id: Sequence[str | None]
    received_ms: Sequence[int] | Ints
    event_id: Sequence[str | None] = field(default_factory=list)


class Roster(dict[str, int]):
    """Viewers by number, in the order in which they appear. Reading a new name enrols it."""

    def __missing__(self, name: str) -> int:
        number = len(self)
        self[name] = number
        return number

    def enrol(self, names: Sequence[str]) -> Ints:
        """The numbers of viewers, new ones included."""
        return np.fromiter(map(self.__getitem__, names), np.int64, len(names))

    def find(self, names: Sequence[str], absent: int) -> Ints:
        """The numbers of viewers, `absent` for the unknown."""
        return np.array([self.get(name, absent) for name in names], np.int64)


class _Columns:
    """Dataclasses whose fields are arrays of one length."""

    __slots__ = ()

    def take(self, chosen: NDArray[Any] | slice) -> Self:
        """These rows; the same object where a mask chooses all, since a million rows are not copied idly."""
        if isinstance(chosen, np.ndarray) and chosen.dtype == np.bool_ and chosen.all():
            return self
        return type(self)(**{name: column[chosen] for name, column in self._columns().items()})

    def join(self, other: Self) -> Self:
        """These rows, then the others."""
        mine, others = self._columns(), other._columns()
        for rows, columns in ((self, others), (other, mine)):
            if not next(iter(columns.values())).size:
                return rows
        return type(self)(**{name: np.concatenate([mine[name], others[name]]) for name in mine})

    def _columns(self) -> dict[str, NDArray[Any]]:
        return {column.name: getattr(self, column.name) for column in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class RequestRows(_Columns):
    """Answered requests; `succeeded` is filled in as events are credited."""

    key: Keys  # the request id, or what `Kept` knows it by
    viewer: Ints
    served_ms: Ints
    items: Keys  # the shown list, its JSON text, or what `Kept` knows it by
    stage: Ints
    canary: Bools
    counted: Bools  # not forced, and in a stage of the ramp
    latency_ms: Floats
    error: Bools
    timeout: Bools
    short: Bools
    fell_back: Bools
    succeeded: Bools

    @classmethod
    def read(cls, columns: ExposureColumns, roster: Roster) -> RequestRows:
        stage = np.asarray(columns.stage, np.int64)
        nothing = np.zeros(stage.size, np.bool_)
        assigned, outcome, served = (
            objects(columns.arm_assigned),
            objects(columns.outcome),
            columns.arm_served,
        )
        return cls(
            key=objects(columns.request_id),
            viewer=roster.enrol(columns.user_id),
            served_ms=np.asarray(columns.served_ms, np.int64),
            items=objects(columns.items),
            stage=stage,
            canary=_are(assigned, "canary"),
            counted=(stage > 0) & ~np.asarray(columns.forced, np.bool_),
            latency_ms=np.asarray(columns.latency_ms, np.float64),
            error=_are(outcome, "error"),
            timeout=_are(outcome, "timeout"),
            short=_are(outcome, "short"),
            fell_back=nothing if served is None else objects(served) != assigned,
            succeeded=nothing.copy(),
        )

    @classmethod
    def none(cls) -> RequestRows:
        return cls.read(ExposureColumns([], [], [], [], [], [], [], [], []), Roster())

    @property
    def size(self) -> int:
        return int(self.viewer.size)

    def in_order(self, kept: Kept | None = None) -> RequestRows:
        """By (served_ms, request id), each request id once: the first counts. Rows by number are distinct."""
        order = np.argsort(self.served_ms, kind="stable")
        _break_ties(order, self.served_ms[order], self.key, kept or AsGiven())
        rows = self if (np.diff(order) == 1).all() else self.take(order)
        if rows.key.dtype != np.object_ or len(set(rows.key.tolist())) == rows.size:
            return rows
        first: dict[str, int] = {}
        for row, request_id in enumerate(rows.key.tolist()):
            first.setdefault(request_id, row)
        return rows.take(np.array(list(first.values()), np.int64))

    def until(self, at_ms: int) -> int:
        """How many were served by then."""
        return int(np.searchsorted(self.served_ms, at_ms, side="right"))

    def between(self, after_ms: int, until_ms: int) -> RequestRows:
        """Served after the first and by the second time."""
        return self.take(slice(self.until(after_ms), self.until(until_ms)))


@dataclass(frozen=True, slots=True, eq=False)
class SuccessRows(_Columns):
    """Events that are a success of the request they are credited to."""

    user_id: Objects
    video_id: Objects
    request_id: Objects
    received_ms: Ints

    @classmethod
    def read(cls, columns: InteractionColumns, known_ids: set[str]) -> SuccessRows:
        """The successes among the events; with event ids, each once: adds to `known_ids`."""
        watched = np.array(columns.watch_percentage, np.float64)  # None becomes NaN
        success = _are(objects(columns.event_type), "complete") | (watched >= WATCHED_PERCENTAGE)
        received = np.asarray(columns.received_ms, np.int64)
        chosen = np.flatnonzero(success).tolist()
        if len(columns.event_id):
            chosen = _first_of_each(sorted(chosen, key=received.__getitem__), columns, known_ids)
        return cls(
            user_id=objects([columns.user_id[row] for row in chosen]),
            video_id=objects([columns.video_id[row] for row in chosen]),
            request_id=objects([columns.request_id[row] for row in chosen]),
            received_ms=received[chosen],
        )

    @classmethod
    def none(cls) -> SuccessRows:
        return cls.read(InteractionColumns([], [], [], [], [], []), set())


def objects(values: Sequence[Any]) -> Objects:
    """One object per entry, also where the entries are lists of equal length."""
    array = np.empty(len(values), np.object_)
    array[:] = values if isinstance(values, list) else list(values)
    return array


def _are(values: Objects, text: str) -> Bools:
    """Which of the texts are this one; equal objects are told by identity, without a look at their letters."""
    return np.asarray(values == text, np.bool_)


def _break_ties(order: NDArray[np.intp], served_ms: Ints, key: Keys, kept: Kept) -> None:
    """Within each millisecond by request id, so that the order of the input does not matter."""
    tied = np.flatnonzero(np.diff(served_ms) == 0)
    if not tied.size:
        return
    starts = tied[np.append(True, np.diff(tied) > 1)]
    ends = tied[np.append(np.diff(tied) > 1, True)] + 2
    rows = order[np.union1d(tied, tied + 1)]
    request_id = dict(zip(rows.tolist(), kept.request_ids(key[rows]), strict=True))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        order[start:end] = sorted(order[start:end].tolist(), key=request_id.__getitem__)


def _first_of_each(rows: list[int], columns: InteractionColumns, known_ids: set[str]) -> list[int]:
    kept = []
    for row in rows:
        event_id = columns.event_id[row]
        if event_id is None or event_id not in known_ids:
            kept.append(row)
        if event_id is not None:
            known_ids.add(event_id)
    return kept
