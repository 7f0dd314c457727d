"""Migrations forwards and backwards over tables that are in use, on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from core.events import TOPIC_INTERACTIONS
from ingest.parsing import Batch
from ingest.persistence import store_batch
from storage.database import open_database
from storage.dead_letters import DeadLetter, mark_replayed, waiting_dead_letters
from storage.event_log import TopicPartition
from storage.exposures import LoggedExposure
from storage.migrate import migrate
from storage.releases import append_evaluation
from storage.removal import remove_viewer
from storage.videos import Video, upsert_videos
from tests.ingest_support import NOW, event, exposure, logged

# What each revision brought: going back behind it loses these columns and nothing else.
BROUGHT = {"0002": {"known"}, "0003": {"removed", "replayed_ms"}}
TABLES = (
    ("core", "videos"),
    ("activity", "interactions"),
    ("activity", "ingest_progress"),
    ("activity", "watch_history"),
    ("activity", "likes"),
    ("output", "exposures"),
    ("output", "dead_letters"),
    ("output", "evaluations"),
)

Rows = dict[str, list[dict[str, Any]]]


def fill(url: str) -> None:
    """Something in every table that a revision touches, its new columns included."""
    database = open_database(url)
    rows = [
        logged(n, event(n, event_type=kind, details={}))
        for n, kind in enumerate(["view", "like", "dislike", "complete"] * 50)
    ]
    shown = [LoggedExposure("shown", 0, n, 0, exposure(f"r{n}", items=('v"1', "é"))) for n in range(50)]
    letters = [DeadLetter(TOPIC_INTERACTIONS, 0, 200, "schema", "why", bytes(range(256)), NOW)]
    following = {TopicPartition(TOPIC_INTERACTIONS, 0): 201, TopicPartition("shown", 0): 50}
    store_batch(database, Batch(rows, shown, letters, following=following, records=251))
    with database.begin() as connection:
        upsert_videos(connection, [Video("v", "Été", 1999, ("Drama",), "", NOW)])
        append_evaluation(connection, "r1", 1, NOW, {"a": 1}, {"exposure_row": 3})
        remove_viewer(connection, "u3")
        mark_replayed(connection, [row for row, _ in waiting_dead_letters(connection, 0, 9)], NOW)
    database.close()


def contents(url: str, without: set[str]) -> Rows:
    database = open_database(url)
    found: Rows = {}
    with database.read() as connection:
        for schema, table in TABLES:
            name = f"{schema}.{table}" if database.dialect == "postgresql" else table
            rows = [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {name}"))]
            kept = [{k: v for k, v in row.items() if k not in without} for row in rows]
            found[table] = sorted(kept, key=repr)
    database.close()
    return found


@pytest.mark.parametrize("back_to", ["0002", "0001"])
def test_back_and_forward_again_keeps_every_row(database_url: str, back_to: str) -> None:
    migrate(database_url)
    fill(database_url)
    lost = set[str]().union(*(names for revision, names in BROUGHT.items() if revision > back_to))
    before = contents(database_url, lost)
    assert all(before.values())
    migrate(database_url, back_to)
    assert contents(database_url, lost) == before
    migrate(database_url)
    after = contents(database_url, set())
    assert contents(database_url, lost) == before
    assert {row["removed"] for row in after["ingest_progress"]} == {0}
    assert {row["replayed_ms"] for row in after["dead_letters"]} == {None}


def test_forward_over_rows_of_today_changes_none(database_url: str) -> None:
    migrate(database_url)
    fill(database_url)
    before = contents(database_url, set())
    migrate(database_url)
    assert contents(database_url, set()) == before
    assert sorted(row["removed"] for row in before["ingest_progress"]) != [0, 0]
