"""The choice of implementations by settings."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from core.clock import HOUR, ManualClock
from core.errors import ConflictError
from core.settings import PlatformSettings
from storage.connect import open_event_log, open_main_store, open_serving_store
from storage.event_log_sqlite import SqliteEventLog
from storage.serving_store_sqlite import SqliteServingStore


def test_without_settings_everything_is_in_the_home_folder(tmp_path: Path) -> None:
    settings = PlatformSettings.load(home=tmp_path / "var", database_url="", kafka_servers="", mongodb_url="")
    assert isinstance(open_event_log(settings, ManualClock()), SqliteEventLog)
    assert isinstance(open_serving_store(settings, ManualClock()), SqliteServingStore)
    open_main_store(settings).ping()
    assert {path.name for path in (tmp_path / "var").rglob("*.db")} == {
        "events.db",
        "events-groups.db",
        "serving.db",
        "understudy.db",
    }


def test_expired_documents_leave_the_file(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SqliteServingStore(tmp_path / "serving.db", clock)
    store.put_many("c", {"old": {}}, expires_ms=clock.now_ms() + 1)
    clock.move(HOUR)
    store.put_many("c", {"new": {}})
    store.close()
    with sqlite3.connect(tmp_path / "serving.db") as connection:
        assert connection.execute("SELECT key FROM documents").fetchall() == [("new",)]


def test_what_another_process_has_put_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    ours, theirs = (SqliteServingStore(tmp_path / "serving.db", ManualClock()) for _ in range(2))
    for number, who in enumerate((ours, theirs, ours)):
        documents, versions = who.get_versions("c", ["k"])
        assert documents == ({"k": {"n": number - 1}} if number else {})
        who.replace_many("c", {"k": {"n": number}}, versions)
    _, versions = ours.get_versions("c", ["k", "new"])
    theirs.put_many("c", {"other": {}})
    ours.replace_many("c", {"k": {"n": 3}}, versions)  # somebody wrote, and not here
    with pytest.raises(ConflictError):
        ours.replace_many("c", {"k": {"n": 4}}, versions)
    theirs.put_many("c", {"new": {}})
    with pytest.raises(ConflictError):
        ours.replace_many("c", {"new": {"n": 4}}, versions)
    assert theirs.get_many("c", ["k", "new"]) == {"k": {"n": 3}, "new": {}}
