"""Brings the serving store's real-time documents up to the rows that SQL holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ingest.documents import profile_changes, trending_after, trending_expires_ms, trending_rows
from ingest.session_documents import EMPTY_SHELF, Shelf, session_documents
from storage.interactions import LoggedInteraction
from storage.serving_store import (
    RECOMMENDATION_REALTIME,
    TRENDING_REALTIME,
    USER_REALTIME_PROFILE,
    Document,
    ServingStore,
)


def follow(
    store: ServingStore, rows: Sequence[LoggedInteraction], now_ms: int, shelf: Shelf = EMPTY_SHELF
) -> None:
    """Apply stored rows to profiles, sessions and trending windows; applied again they change nothing.

    Raises:
        DependencyError: some documents may be written and others not; the same call again makes it whole.
        ConflictError: the same, because another reader wrote one of them in between.
    """
    _follow_profiles(store, rows, now_ms, shelf)
    _follow_trending(store, rows, now_ms)


def _follow_profiles(
    store: ServingStore, rows: Sequence[LoggedInteraction], now_ms: int, shelf: Shelf
) -> None:
    viewers = {row.interaction.user_id for row in rows}
    if not viewers:
        return
    before, versions = store.get_versions(USER_REALTIME_PROFILE, viewers)
    changes = profile_changes(before, rows)
    # Sessions first: after a crash in between the profile still says that theirs is to be written.
    for expires_ms, sessions in session_documents(changes, shelf, now_ms).items():
        store.put_many(RECOMMENDATION_REALTIME, sessions, expires_ms)
    profiles = {user_id: change.profile for user_id, change in changes.items()}
    store.replace_many(USER_REALTIME_PROFILE, profiles, versions)


def _follow_trending(store: ServingStore, rows: Sequence[LoggedInteraction], now_ms: int) -> None:
    current = {key: mine for key, mine in trending_rows(rows).items() if trending_expires_ms(key) > now_ms}
    if not current:
        return
    before, versions = store.get_versions(TRENDING_REALTIME, current)
    by_expiry: defaultdict[int, dict[str, Document]] = defaultdict(dict)
    for key, window in trending_after(before, current).items():
        by_expiry[trending_expires_ms(key)][key] = window
    for expires_ms, windows in by_expiry.items():
        store.replace_many(TRENDING_REALTIME, windows, versions, expires_ms)
