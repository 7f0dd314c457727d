"""Lists that go on after the plan's static one: no arm made it, and the reader's documents know it a second later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from core.query_string import MAX_EXCLUDED
from core.recommend_query import RecommendQuery

REMEMBERED: Final = 10_000  # static lists are for moments; some 2 MB


class StaticPages:
    """The newest static lists of this process, and those that went on after them. Belongs to one event loop."""

    def __init__(self, capacity: int = REMEMBERED) -> None:
        self._capacity = capacity
        self._lists: OrderedDict[str, tuple[str, tuple[str, ...]]] = OrderedDict()

    def turned(self, query: RecommendQuery) -> RecommendQuery:
        """The query as any arm can answer it: with what those pages showed excluded, where it comes after one.

        The same query where it does not, and where that is more than a request can exclude.
        """
        user_id, shown = self._lists.get(query.after or "", ("", ()))
        exclude = (*query.exclude, *shown)
        if user_id != query.user_id or len(exclude) > MAX_EXCLUDED:
            return query
        return msgspec.structs.replace(query, exclude=exclude, after=None)

    def remember(self, request_id: str, after: str | None, user_id: str, shown: Iterable[str]) -> None:
        """A page of `user_id`: static, or one that comes after a static one."""
        _, before = self._lists.get(after or "", ("", ()))
        self._lists[request_id] = (user_id, (*before, *shown))
        if len(self._lists) > self._capacity:
            self._lists.popitem(last=False)
