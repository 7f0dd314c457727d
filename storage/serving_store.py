"""The serving store: documents by key, read beside every request. Port of the embedded store and MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

Document = dict[str, Any]
# By key, what tells a document from every other that stands under its key in time.
Versions = Mapping[str, Any]
PAGE = 1_000  # documents read at once

VIDEO_CATALOG = "video_catalog"
USER_REALTIME_PROFILE = "user_realtime_profile"
TRENDING_REALTIME = "trending_realtime"
RECOMMENDATION_REALTIME = "recommendation_realtime"
RECENTLY_SHOWN = "recently_shown"
COLLECTIONS = (
    VIDEO_CATALOG,
    USER_REALTIME_PROFILE,
    TRENDING_REALTIME,
    RECOMMENDATION_REALTIME,
    RECENTLY_SHOWN,
)
# Those whose keys are viewers, or begin with a viewer and a slash.
OF_VIEWERS = (USER_REALTIME_PROFILE, RECOMMENDATION_REALTIME, RECENTLY_SHOWN)
LAST = "\U0010ffff"  # no key of ours comes after it


class ServingStore(Protocol):
    """Thread-safe. Documents are JSON-like (str keys; str, int, float, bool, None, list, dict values).

    Every method raises DependencyError where the store does not answer in time. Expired documents are
    never returned, whether or not they have been removed yet.
    """

    def get(self, collection: str, key: str) -> Document | None: ...

    def get_many(self, collection: str, keys: Iterable[str]) -> dict[str, Document]:
        """The documents that exist, by key."""
        ...

    def put_many(
        self, collection: str, documents: Mapping[str, Document], expires_ms: int | None = None
    ) -> None:
        """Insert or replace; all of them expire at `expires_ms`, or never."""
        ...

    def get_versions(self, collection: str, keys: Iterable[str]) -> tuple[dict[str, Document], Versions]:
        """As `get_many`, and the versions of what is found, for who wants to replace it."""
        ...

    def replace_many(
        self,
        collection: str,
        documents: Mapping[str, Document],
        versions: Versions,
        expires_ms: int | None = None,
    ) -> None:
        """As `put_many`, where what stands there still is what `get_versions` found, or found not to be there.

        Raises:
            ConflictError: somebody else has put one since; some of the others may be written.
        """
        ...

    def scan(
        self, collection: str, first_key: str = "", limit: int = 1_000, before: str = LAST
    ) -> list[tuple[str, Document]]:
        """Documents in key order from `first_key` on and before the key `before`, at most `limit`."""
        ...

    def delete_many(self, collection: str, keys: Iterable[str]) -> None: ...

    def close(self) -> None: ...


def keys_of_viewer(store: ServingStore, collection: str, user_id: str) -> list[str]:
    """Keys of a viewer's documents in one of `OF_VIEWERS`.

    Raises:
        DependencyError: the store did not answer.
    """
    if store.get(collection, user_id) is not None:
        return [user_id]
    # "0" is what comes after a slash
    return [key for key, _ in store.scan(collection, f"{user_id}/", PAGE, before=f"{user_id}0")]


def scan_all(store: ServingStore, collection: str, first_key: str = "") -> Iterator[tuple[str, Document]]:
    """Every document from `first_key` on in key order, read page by page.

    Raises:
        DependencyError: the store did not answer.
    """
    while True:
        page = store.scan(collection, first_key, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        first_key = page[-1][0] + "\0"
