"""What was deleted on purpose, so that the audit does not take it for lost; when a dead letter was sent again.

Revision 0003, after 0002. Going back forgets the count: the audit then takes what was removed for lost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    removed = sa.Column("removed", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("ingest_progress", removed, schema=_schema("activity"))
    replayed = sa.Column("replayed_ms", sa.BigInteger(), nullable=True)
    op.add_column("dead_letters", replayed, schema=_schema("output"))


def downgrade() -> None:
    op.drop_column("dead_letters", "replayed_ms", schema=_schema("output"))
    op.drop_column("ingest_progress", "removed", schema=_schema("activity"))


def _schema(name: str) -> str | None:
    return name if op.get_bind().dialect.name == "postgresql" else None
