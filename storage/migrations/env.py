"""What Alembic runs: the connection comes from `storage.migrate`, inside its transaction."""

from __future__ import annotations

from alembic import context

from storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
