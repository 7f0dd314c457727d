"""The catalogue: what can be recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.tables import videos


@dataclass(frozen=True, slots=True)
class Video:
    """One video; `added_ms` is when it entered the catalogue."""

    video_id: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    overview: str
    added_ms: int


def upsert_videos(connection: Connection, rows: Sequence[Video]) -> None:
    """Insert or replace by video id; of two with the same id the later one stands."""
    by_id = {video.video_id: video for video in rows}
    if not by_id:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(videos)
    changed = {column.name: insert.excluded[column.name] for column in videos.c if not column.primary_key}
    statement = insert.on_conflict_do_update(index_elements=[videos.c.video_id], set_=changed)
    connection.execute(statement, [_row(video) for video in by_id.values()])


def all_videos(connection: Connection) -> list[Video]:
    """The whole catalogue, ordered by video id (by code point, on both databases)."""
    found = [
        Video(
            row.video_id,
            row.title,
            row.year,
            tuple(msgspec.json.decode(row.genres)),
            row.overview,
            row.added_ms,
        )
        for row in connection.execute(select(videos))
    ]
    # Sorted here: a PostgreSQL collation may order ids otherwise, and rows of a bundle must not depend on it.
    return sorted(found, key=lambda video: video.video_id)


def _row(video: Video) -> dict[str, object]:
    return {
        "video_id": video.video_id,
        "title": video.title,
        "year": video.year,
        "genres": msgspec.json.encode(video.genres).decode(),
        "overview": video.overview,
        "added_ms": video.added_ms,
    }
