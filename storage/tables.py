"""The tables, as the newest migration leaves them. Schemas exist on PostgreSQL; SQLite has the same names.

Times are milliseconds UTC in big integers; documents are JSON text, so that what is read back is to the
byte what was stored, on both databases.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMAS: Final = ("core", "activity", "output")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only for a column that is exactly INTEGER.
_RowId = BigInteger().with_variant(Integer(), "sqlite")


def _row_id() -> Column[int]:
    return Column("row_id", _RowId, primary_key=True, autoincrement=True)


def _position() -> tuple[Column[str], Column[int], Column[int]]:
    return (
        Column("topic", Text, nullable=False),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
    )


videos = Table(
    "videos",
    metadata,
    Column("video_id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("year", Integer),
    Column("genres", Text, nullable=False),  # JSON list
    Column("overview", Text, nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    schema="core",
)

interactions = Table(
    "interactions",
    metadata,
    _row_id(),
    *_position(),
    Column("event_id", Text, nullable=False, unique=True),
    Column("user_id", Text, nullable=False),
    Column("video_id", Text),
    Column("event_type", Text, nullable=False),
    Column("details", Text, nullable=False),  # JSON object
    Column("watch_percentage", Double),  # taken out of the details, because outcomes and training read it
    Column("rating", Double),
    Column("request_id", Text),
    Column("occurred_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    UniqueConstraint("topic", "partition", "offset"),
    Index(None, "received_ms"),
    schema="activity",
)

ingest_progress = Table(
    "ingest_progress",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("first_offset", BigInteger, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("tombstones", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),  # offsets the log never gave us (trimmed or internal)
    # stored offsets whose rows were deleted since, by retention or for a viewer
    Column("removed", BigInteger, nullable=False, server_default="0"),
    schema="activity",
)

exposures = Table(
    "exposures",
    metadata,
    _row_id(),
    *_position(),
    Column("item", Integer, nullable=False),  # index in the message's batch
    Column("request_id", Text, nullable=False, unique=True),
    Column("user_id", Text, nullable=False),
    Column("served_ms", BigInteger, nullable=False),
    Column("arm_assigned", Text, nullable=False),
    Column("arm_served", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("bundle_digest", Text, nullable=False),
    Column("release_id", Text),
    Column("stage", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("items", Text, nullable=False),  # JSON list of video ids
    Column("latency_ms", Double, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("degraded", Boolean, nullable=False),
    UniqueConstraint("topic", "partition", "offset", "item"),
    Index(None, "release_id", "row_id"),
    Index(None, "served_ms"),
    schema="output",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _row_id(),
    *_position(),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("replayed_ms", BigInteger),  # when it was sent through the event log again
    UniqueConstraint("topic", "partition", "offset"),
    schema="output",
)

releases = Table(
    "releases",
    metadata,
    Column("release_id", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("bundle_digest", Text, nullable=False),
    Column("base_version", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("plan", Text, nullable=False),  # JSON object
    Column("salt", Text, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("next_look_ms", BigInteger),
    Column("reason", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("closed_ms", BigInteger),
    Column("is_open", Boolean, nullable=False),
    # The database itself refuses a second open release, whoever asks at the same instant.
    Index(
        "uq_releases_one_open",
        "is_open",
        unique=True,
        sqlite_where=text("is_open"),
        postgresql_where=text("is_open"),
    ),
    schema="output",
)

traffic_plans = Table(
    "traffic_plans",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("release_id", Text, index=True),
    Column("plan", Text, nullable=False),  # JSON of core.traffic.TrafficPlan
    schema="output",
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("release_id", Text, primary_key=True),
    Column("look", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("result", Text, nullable=False),  # JSON object
    Column("known", Text),  # JSON object
    schema="output",
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("release_id", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON object
    schema="output",
)

release_events = Table(
    "release_events",
    metadata,
    _row_id(),
    Column("release_id", Text, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    schema="output",
)
