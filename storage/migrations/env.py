"""Alembic's entry: runs migrations on the connection that storage.database hands over."""

from alembic import context

import storage.api_tables
import storage.email_tables
import storage.ex_right_tables
import storage.identity_tables
import storage.ledger_tables
import storage.manifest_tables
import storage.tables  # noqa: F401
from storage.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
