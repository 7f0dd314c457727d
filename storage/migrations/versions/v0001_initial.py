"""The first tables, and the views over interactions.

Revision 0001, after nothing. SQLite has no schemas: there the names stand alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SCHEMAS = ("core", "activity", "output")

# A number in a JSON text, a text in a JSON text, by dialect. `{}` is the field's name.
_TEXT_OF = {"sqlite": "json_extract(details, '$.{}')", "postgresql": "(details::json ->> '{}')"}

# `latest`: of several events of a viewer about one thing, the last by the viewer's clock stands.
VIEWS = {
    "watch_history": """
        SELECT user_id, video_id, max(watch_percentage) AS watch_percentage,
               max(CASE WHEN event_type = 'complete' THEN 1 ELSE 0 END) AS completed,
               count(*) AS events, min(occurred_ms) AS first_ms, max(occurred_ms) AS last_ms
        FROM {interactions} WHERE event_type IN ('view', 'progress', 'complete')
        GROUP BY user_id, video_id""",
    "likes": """
        SELECT user_id, video_id, CASE event_type WHEN 'like' THEN 1 ELSE -1 END AS like_type, occurred_ms
        FROM (SELECT user_id, video_id, event_type, occurred_ms, row_number() OVER (
                  PARTITION BY user_id, video_id ORDER BY occurred_ms DESC, row_id DESC) AS latest
              FROM {interactions} WHERE event_type IN ('like', 'dislike')) AS ranked
        WHERE latest = 1""",
    "comments": """
        SELECT {comment_id} AS comment_id, {parent_id} AS parent_id, user_id, video_id, occurred_ms
        FROM {interactions} WHERE event_type = 'comment'""",
    "searches": """
        SELECT user_id, {query} AS query, video_id, occurred_ms
        FROM {interactions} WHERE event_type = 'search'""",
    "subscriptions": """
        SELECT user_id, publisher_id, occurred_ms AS since_ms
        FROM (SELECT user_id, publisher_id, event_type, occurred_ms, row_number() OVER (
                  PARTITION BY user_id, publisher_id ORDER BY occurred_ms DESC, row_id DESC) AS latest
              FROM (SELECT row_id, user_id, {publisher_id} AS publisher_id, event_type, occurred_ms
                    FROM {interactions} WHERE event_type IN ('subscribe', 'unsubscribe')) AS named) AS ranked
        WHERE latest = 1 AND event_type = 'subscribe'""",
}
TABLES = {
    "core": ("videos",),
    "activity": ("interactions", "ingest_progress"),
    "output": (
        "exposures",
        "dead_letters",
        "releases",
        "traffic_plans",
        "evaluations",
        "verdicts",
        "release_events",
    ),
}


def upgrade() -> None:
    if _on_postgresql():
        for schema in SCHEMAS:
            op.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    _core(_schema("core"))
    _activity(_schema("activity"))
    _output(_schema("output"))
    for name, select in VIEWS.items():
        op.execute(f"CREATE VIEW {_qualified('activity', name)} AS {_filled(select)}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {_qualified('activity', name)}")
    for schema, tables in TABLES.items():
        for table in tables:
            op.drop_table(table, schema=_schema(schema))
    if _on_postgresql():
        for schema in SCHEMAS:
            op.execute(f'DROP SCHEMA "{schema}"')


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _schema(name: str) -> str | None:
    return name if _on_postgresql() else None


def _qualified(schema: str, name: str) -> str:
    return f'"{schema}".{name}' if _on_postgresql() else name


def _filled(select: str) -> str:
    text_of = _TEXT_OF[op.get_bind().dialect.name]
    names = ("comment_id", "parent_id", "query", "publisher_id")
    extracts = {name: text_of.format(name) for name in names}
    return select.format(interactions=_qualified("activity", "interactions"), **extracts)


def _row_id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("row_id", kind, autoincrement=True, nullable=False)


def _position() -> tuple[sa.Column[str], sa.Column[int], sa.Column[int]]:
    return (
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
    )


def _core(schema: str | None) -> None:
    op.create_table(
        "videos",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer()),
        sa.Column("genres", sa.Text(), nullable=False),
        sa.Column("overview", sa.Text(), nullable=False),
        sa.Column("added_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("video_id", name="pk_videos"),
        schema=schema,
    )


def _activity(schema: str | None) -> None:
    op.create_table(
        "interactions",
        _row_id(),
        *_position(),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("video_id", sa.Text()),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("watch_percentage", sa.Double()),
        sa.Column("rating", sa.Double()),
        sa.Column("request_id", sa.Text()),
        sa.Column("occurred_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name="pk_interactions"),
        sa.UniqueConstraint("event_id", name="uq_interactions_event_id"),
        sa.UniqueConstraint("topic", "partition", "offset", name="uq_interactions_topic_partition_offset"),
        schema=schema,
    )
    op.create_index("ix_interactions_received_ms", "interactions", ["received_ms"], schema=schema)
    op.create_table(
        "ingest_progress",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_offset", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("stored", "duplicates", "dead", "tombstones", "skipped")
        ),
        sa.PrimaryKeyConstraint("topic", "partition", name="pk_ingest_progress"),
        schema=schema,
    )


def _output(schema: str | None) -> None:
    _exposures(schema)
    op.create_table(
        "dead_letters",
        _row_id(),
        *_position(),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name="pk_dead_letters"),
        sa.UniqueConstraint("topic", "partition", "offset", name="uq_dead_letters_topic_partition_offset"),
        schema=schema,
    )
    _releases(schema)
    op.create_table(
        "traffic_plans",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("release_id", sa.Text()),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name="pk_traffic_plans"),
        schema=schema,
    )
    op.create_index("ix_traffic_plans_release_id", "traffic_plans", ["release_id"], schema=schema)
    _decisions(schema)


def _exposures(schema: str | None) -> None:
    op.create_table(
        "exposures",
        _row_id(),
        *_position(),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("served_ms", sa.BigInteger(), nullable=False),
        sa.Column("arm_assigned", sa.Text(), nullable=False),
        sa.Column("arm_served", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("bundle_digest", sa.Text(), nullable=False),
        sa.Column("release_id", sa.Text()),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("items", sa.Text(), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name="pk_exposures"),
        sa.UniqueConstraint("request_id", name="uq_exposures_request_id"),
        sa.UniqueConstraint(
            "topic", "partition", "offset", "item", name="uq_exposures_topic_partition_offset_item"
        ),
        schema=schema,
    )
    op.create_index("ix_exposures_release_id_row_id", "exposures", ["release_id", "row_id"], schema=schema)
    op.create_index("ix_exposures_served_ms", "exposures", ["served_ms"], schema=schema)


def _releases(schema: str | None) -> None:
    op.create_table(
        "releases",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("bundle_digest", sa.Text(), nullable=False),
        sa.Column("base_version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_look_ms", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger()),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("release_id", name="pk_releases"),
        schema=schema,
    )
    where = sa.text("is_open")
    op.create_index(
        "uq_releases_one_open",
        "releases",
        ["is_open"],
        unique=True,
        schema=schema,
        sqlite_where=where,
        postgresql_where=where,
    )


def _decisions(schema: str | None) -> None:
    op.create_table(
        "evaluations",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("look", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("release_id", "look", name="pk_evaluations"),
        schema=schema,
    )
    op.create_table(
        "verdicts",
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("release_id", name="pk_verdicts"),
        schema=schema,
    )
    op.create_table(
        "release_events",
        _row_id(),
        sa.Column("release_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name="pk_release_events"),
        schema=schema,
    )
    op.create_index("ix_release_events_release_id", "release_events", ["release_id"], schema=schema)
