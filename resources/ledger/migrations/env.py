"""How alembic reaches the ledger: over the connection `resources/ledger/migrate.py` hands it, in its transaction."""

from __future__ import annotations

from alembic import context

from resources.ledger.tables import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
context.run_migrations()
