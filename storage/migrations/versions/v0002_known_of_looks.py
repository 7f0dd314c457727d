"""What was known when a look was taken: a look can be taken again on exactly that.

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("known", sa.Text(), nullable=True), schema=_schema())


def downgrade() -> None:
    op.drop_column("evaluations", "known", schema=_schema())


def _schema() -> str | None:
    return "output" if op.get_bind().dialect.name == "postgresql" else None
