"""Brings the serving store's real-time documents up to the rows that SQL holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ingest.documents import (
    profiles_after,
    trending_after,
    trending_expires_ms,
    trending_key,
    trends,
)
from storage.interactions import LoggedInteraction
from storage.serving_store import TRENDING_REALTIME, USER_REALTIME_PROFILE, Document, ServingStore


def follow(store: ServingStore, rows: Sequence[LoggedInteraction], now_ms: int) -> None:
    """Apply stored rows to profiles and trending windows; applied again they change nothing.

    Raises:
        DependencyError: some documents may be written and others not; the same call again makes it whole.
    """
    _follow_profiles(store, rows)
    _follow_trending(store, rows, now_ms)


def _follow_profiles(store: ServingStore, rows: Sequence[LoggedInteraction]) -> None:
    viewers = {row.interaction.user_id for row in rows}
    if viewers:
        before = store.get_many(USER_REALTIME_PROFILE, viewers)
        store.put_many(USER_REALTIME_PROFILE, profiles_after(before, rows))


def _follow_trending(store: ServingStore, rows: Sequence[LoggedInteraction], now_ms: int) -> None:
    current = [row for row in rows if trends(row) and trending_expires_ms(trending_key(row)) > now_ms]
    if not current:
        return
    before = store.get_many(TRENDING_REALTIME, {trending_key(row) for row in current})
    by_expiry: defaultdict[int, dict[str, Document]] = defaultdict(dict)
    for key, window in trending_after(before, current).items():
        by_expiry[trending_expires_ms(key)][key] = window
    for expires_ms, windows in by_expiry.items():
        store.put_many(TRENDING_REALTIME, windows, expires_ms)
