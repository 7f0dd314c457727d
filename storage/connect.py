"""From settings to stores: the one place that chooses an implementation."""

from __future__ import annotations

from core.clock import Clock
from core.settings import PlatformSettings
from storage.database import Database, open_database
from storage.event_log import EventLog
from storage.event_log_sqlite import SqliteEventLog
from storage.serving_store import ServingStore
from storage.serving_store_sqlite import SqliteServingStore


def open_main_store(settings: PlatformSettings) -> Database:
    """The SQL database; its tables are made by `storage.migrate`, not here."""
    return open_database(settings.sql_url)


def open_event_log(settings: PlatformSettings, clock: Clock) -> EventLog:
    """Kafka where servers are given, else the embedded log in the home folder."""
    if settings.kafka_servers:
        # Imported where it is used: a process on the embedded log need not load the client.
        from storage.event_log_kafka import KafkaEventLog  # noqa: PLC0415

        return KafkaEventLog(settings.kafka_servers, options=_kafka_options(settings))
    return _embedded_log(settings, clock)


def open_embedded_log(settings: PlatformSettings, clock: Clock) -> SqliteEventLog | None:
    """The embedded log, if that is in use: what it keeps and how long is for the platform to say."""
    return None if settings.kafka_servers else _embedded_log(settings, clock)


def _embedded_log(settings: PlatformSettings, clock: Clock) -> SqliteEventLog:
    return SqliteEventLog(settings.home / "events.db", clock)


def open_serving_store(settings: PlatformSettings, clock: Clock) -> ServingStore:
    """MongoDB where a URL is given, else the embedded store in the home folder."""
    url = settings.mongodb_url.get_secret_value()
    if url:
        from storage.serving_store_mongo import MongoServingStore  # noqa: PLC0415

        return MongoServingStore(url, clock)
    return SqliteServingStore(settings.serving / "serving.db", clock)


def _kafka_options(settings: PlatformSettings) -> dict[str, str]:
    """How every client of ours speaks to the brokers, in kafka-python's words."""
    options: dict[str, str] = {"security_protocol": settings.kafka_security}
    if settings.kafka_ca_file is not None:
        options["ssl_cafile"] = str(settings.kafka_ca_file)
    if settings.kafka_security.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_mechanism
        options["sasl_plain_username"] = settings.kafka_user
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options
