"""What each viewer was shown lately, in the serving store: for lists that go on, and lists that do not repeat.

Exposures are spread over the partitions whoever the viewer is, and two readers may each have one of them: so
there is a document for each viewer and partition, `VIEWER/TOPIC:PARTITION`, and none has two writers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from core.clock import DAY
from core.exposures import Exposure
from storage.exposures import LoggedExposure
from storage.serving_store import RECENTLY_SHOWN, Document, ServingStore

# Some 900 bytes: beyond 1,000 a document of the embedded store takes a page of its own, and four times the room.
KEPT_REQUESTS: Final = 4  # of a viewer, in each partition
KEPT_MS: Final = DAY

Entry = list[Any]  # [request_id, served_ms, [video_id, ...]], as it stands in the document


def shown_key(row: LoggedExposure) -> str:
    """No id of a viewer has a slash: what is before it is the viewer."""
    return f"{row.exposure.user_id}/{row.topic}:{row.partition}"


def shown_after(before: Mapping[str, Document], rows: Iterable[LoggedExposure]) -> dict[str, Document]:
    """The documents that change, by key: `{"requests": [[request_id, served_ms, [video_id, ...]], ...]}`.

    A request that is known changes nothing, so rows may be applied again; the newest requests stay.
    """
    entries: dict[str, dict[str, Entry]] = {}
    changed: set[str] = set()
    for row in rows:
        key, shown = shown_key(row), row.exposure
        known = entries.setdefault(key, _entries(before.get(key)))
        if shown.request_id not in known:
            known[shown.request_id] = [shown.request_id, shown.served_ms, list(shown.items)]
            changed.add(key)
    return {key: {"requests": _newest(entries[key].values())} for key in changed}


def follow_shown(store: ServingStore, rows: Iterable[LoggedExposure], now_ms: int) -> None:
    """Bring the documents up to these exposures; applied again they change nothing.

    Raises:
        DependencyError: some documents may be written and others not; the same call again makes it whole.
    """
    current = [row for row in rows if _counts(row.exposure, now_ms)]
    if current:
        before = store.get_many(RECENTLY_SHOWN, {shown_key(row) for row in current})
        store.put_many(RECENTLY_SHOWN, shown_after(before, current), now_ms + KEPT_MS)


def _counts(shown: Exposure, now_ms: int) -> bool:
    return bool(shown.items) and "/" not in shown.user_id and shown.served_ms > now_ms - KEPT_MS


def _entries(document: Document | None) -> dict[str, Entry]:
    return {entry[0]: entry for entry in document["requests"]} if document else {}


def _newest(entries: Iterable[Entry]) -> list[Entry]:
    # The id breaks ties, so that the order does not depend on how the rows came in batches.
    return sorted(entries, key=lambda entry: (entry[1], entry[0]))[-KEPT_REQUESTS:]
