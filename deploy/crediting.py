"""Which request an event speaks for: the one it names, else the latest earlier one that showed the video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Objects = NDArray[np.object_]

Keys = Objects | Ints
Lists = Sequence[str | Sequence[str]]  # the shown videos of each request, or the JSON text of them

NOBODY = -1  # the viewer of an event who was never shown anything


class Kept(Protocol):
    """What stays where the rows are kept, and is asked for by their keys where it matters."""

    def shown(self, keys: Keys) -> Lists:
        """The list of each key."""
        ...

    def request_ids(self, keys: Keys) -> Sequence[str]:
        """The request id of each key."""
        ...

    def named(self, request_ids: Objects) -> tuple[Keys, Lists | None]:
        """The key of each request id, whatever no row has for an unknown one; the lists, where they come along."""
        ...


class AsGiven:
    """`Kept` of rows that hold everything themselves: the request id is the key, the list its own."""

    def shown(self, keys: Keys) -> Lists:
        lists: list[str | Sequence[str]] = keys.tolist()
        return lists

    def request_ids(self, keys: Keys) -> Sequence[str]:
        texts: list[str] = keys.tolist()
        return texts

    def named(self, request_ids: Objects) -> tuple[Keys, Lists | None]:
        return request_ids, None


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Answered requests in the order of (served_ms, request id), one row each.

    `viewer` holds codes from 0; `items` the shown videos, as a sequence of ids or as the JSON text of one, or
    what `kept` knows them by, as it knows request ids by `key`.
    """

    key: Keys
    viewer: Ints
    served_ms: Ints
    items: Keys
    kept: Kept = field(default_factory=AsGiven)


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """What viewers did. `request_id` is None where an event names no request."""

    viewer: Ints
    video_id: Objects
    request_id: Objects
    received_ms: Ints

    def take(self, chosen: NDArray[Any]) -> Events:
        return Events(*(getattr(self, column.name)[chosen] for column in fields(self)))


def credit(requests: Requests, events: Events, window_ms: int) -> Ints:
    """For each event the row of the request it is credited to, -1 for none.

    Credited is a request of the same viewer that showed the video and was served at most `window_ms` before
    the event was received. An event that names a request is credited to that one or to none.
    """
    credited = np.full(events.viewer.size, -1, np.int64)
    if not requests.viewer.size or not events.viewer.size:
        return credited
    named = np.array([request_id is not None for request_id in events.request_id], np.bool_)
    credited[named] = _by_name(requests, events.take(named), window_ms)
    credited[~named] = _by_history(requests, events.take(~named), window_ms)
    return credited


def shows(items: str | Sequence[str], video_id: str) -> bool:
    """Whether a list of ids, or its JSON text, holds a video. Ids need no escapes in JSON (core.ids)."""
    return f'"{video_id}"' in items if isinstance(items, str) else video_id in items


def _by_name(requests: Requests, events: Events, window_ms: int) -> Ints:
    if not events.viewer.size:
        return np.empty(0, np.int64)
    keys, lists = requests.kept.named(events.request_id)
    row = _places(requests.key, keys)
    return np.where((row >= 0) & _speaks_for(requests, row, events, window_ms, lists), row, -1)


def _by_viewer(viewer: Ints) -> Ints:
    """`np.argsort(viewer, kind="stable")` of codes below 2^32, in two passes over halves: those it does by radix."""
    order = np.argsort(viewer.astype(np.uint16), kind="stable")
    return order[np.argsort((viewer >> 16).astype(np.uint16)[order], kind="stable")]


def _places(keys: Keys, wanted: Keys) -> Ints:
    """Where among the keys each wanted one stands, -1 for nowhere."""
    if keys.dtype == np.object_:
        rows = dict(zip(keys.tolist(), range(keys.size), strict=True))
        return np.array([rows.get(key, -1) for key in wanted], np.int64)
    order = np.argsort(keys, kind="stable")  # quick where they are in order, as rows by time mostly are
    place = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), keys.size - 1)]
    return np.where(keys[place] == wanted, place, -1)


def _speaks_for(
    requests: Requests, row: Ints, events: Events, window_ms: int, lists: Lists | None = None
) -> Bools:
    """Event by event: same viewer, in time, and the request in `row` showed the video; `lists`: of these requests."""
    age = events.received_ms - requests.served_ms[row]
    fits: Bools = (requests.viewer[row] == events.viewer) & (age >= 0) & (age <= window_ms)
    candidates = np.flatnonzero(fits)
    if lists is None:
        shown = requests.kept.shown(requests.items[row[candidates]])
    else:
        shown = [lists[place] for place in candidates.tolist()]
    fits[candidates] = [
        shows(items, video) for items, video in zip(shown, events.video_id[candidates], strict=True)
    ]
    return fits


def _by_history(requests: Requests, events: Events, window_ms: int) -> Ints:
    """Walks back through each viewer's requests, all events in step."""
    credited = np.full(events.viewer.size, -1, np.int64)
    if not events.viewer.size:
        return credited
    total = requests.viewer.size
    order = _by_viewer(requests.viewer)  # then by time
    key = requests.viewer[order] * total + order
    served_by_then = np.searchsorted(requests.served_ms, events.received_ms, side="right")
    place = np.searchsorted(key, events.viewer * total + served_by_then) - 1
    waiting = np.flatnonzero(place >= 0)
    while waiting.size:
        row, part = order[place[waiting]], events.take(waiting)
        found = _speaks_for(requests, row, part, window_ms)
        credited[waiting[found]] = row[found]
        in_reach = (requests.viewer[row] == part.viewer) & (
            part.received_ms - requests.served_ms[row] <= window_ms
        )
        waiting = waiting[in_reach & ~found]
        place[waiting] -= 1
        waiting = waiting[place[waiting] >= 0]
    return credited
