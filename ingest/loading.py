"""Fills an empty platform: a data set's interactions into the event log, its videos into the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from core.events import TOPIC_INTERACTIONS, Interaction, encode_event
from ingest.pacing import Pace
from storage.database import Database
from storage.event_log import EventLog, Message
from storage.serving_store import VIDEO_CATALOG, ServingStore
from storage.videos import Video, upsert_videos

BATCH: Final = 5_000

Progress = Callable[[int, int], None]


class HistoryRow(NamedTuple):
    """One rating of a data set; `occurred_ms` is already shifted to where it shall lie."""

    user_id: str
    video_id: str
    rating: float
    occurred_ms: int


def load_history(
    log: EventLog,
    rows: Sequence[HistoryRow],
    digest: str,
    on_progress: Progress = lambda done, total: None,
    topic: str = TOPIC_INTERACTIONS,
    pace: Pace | None = None,
) -> int:
    """Append every row as a `rating` event; the number sent.

    The event ids are made of the data set's digest and the row's number, so a set that is loaded again in
    the same order is stored once.

    Args:
        log: the event log; the reader takes it from there.
        rows: the data set, in an order that is the same each time.
        digest: names the data set, as in "sha256:...".
        on_progress: called with (sent, all) after each batch.
        topic: where the events go.
        pace: how fast; None: as fast as the log takes them.

    Raises:
        DependencyError: the log did not answer; loading again is right.
    """
    name = digest.rpartition(":")[2][:8]
    batch = BATCH if pace is None else pace.batch(BATCH)
    for first in range(0, len(rows), batch):
        if pace is not None:
            pace.wait_for(first)
        part = rows[first : first + batch]
        messages = [_message(row, f"load-{name}-{first + number}") for number, row in enumerate(part)]
        log.append(topic, messages)
        on_progress(first + len(part), len(rows))
    return len(rows)


def publish_catalogue(videos: Sequence[Video], database: Database, serving_store: ServingStore) -> None:
    """Videos into SQL, then the documents that answers are made of; both replace what they find.

    Raises:
        DependencyError: SQL or the serving store did not answer; publishing again is right.
    """
    with database.begin() as connection:
        upsert_videos(connection, videos)
    for first in range(0, len(videos), BATCH):
        part = videos[first : first + BATCH]
        documents = {
            video.video_id: {
                "title": video.title,
                "year": video.year,
                "genres": list(video.genres),
                "added_ms": video.added_ms,
            }
            for video in part
        }
        serving_store.put_many(VIDEO_CATALOG, documents)


def _message(row: HistoryRow, event_id: str) -> Message:
    event = Interaction(
        event_id=event_id,
        user_id=row.user_id,
        video_id=row.video_id,
        event_type="rating",
        details={"rating": row.rating},
        occurred_ms=row.occurred_ms,
        received_ms=row.occurred_ms,  # not sent: the log's receipt decides
    )
    return Message(row.user_id, encode_event(event))
