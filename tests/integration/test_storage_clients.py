"""The servers' clients, chosen by settings; no server is asked yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.clock import ManualClock
from core.errors import InvalidSettingError
from core.settings import PlatformSettings
from storage.connect import open_event_log, open_serving_store
from storage.event_log_kafka import KafkaEventLog
from storage.serving_store_mongo import MongoServingStore


def test_servers_are_used_where_they_are_given_and_not_contacted_yet(tmp_path: Path) -> None:
    settings = PlatformSettings.load(
        home=tmp_path, kafka_servers="127.0.0.1:1, 127.0.0.1:2", mongodb_url="mongodb://127.0.0.1:1/db"
    )
    log = open_event_log(settings, ManualClock())
    store = open_serving_store(settings, ManualClock())
    assert isinstance(log, KafkaEventLog)
    assert isinstance(store, MongoServingStore)
    log.close()
    store.close()


def test_a_url_that_is_none_is_refused_without_showing_its_secret() -> None:
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_MONGODB_URL") as caught:
        MongoServingStore("mongo://user:secret@host", ManualClock())
    assert "secret" not in str(caught.value)
