"""Who holds a lease, and since when a message or an end stands: what recovery needs to know.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    owner = {"type_": sa.String(length=120), "nullable": True}
    with op.batch_alter_table("sync_batch") as batch_op:
        batch_op.add_column(sa.Column("owner", comment="process that holds the lease", **owner))
        batch_op.add_column(
            sa.Column(
                "published_at", sa.Double(), nullable=True, comment="last handed to the broker"
            )
        )
        batch_op.add_column(sa.Column("ended_at", sa.Double(), nullable=True))
    with op.batch_alter_table("sync_wave") as batch_op:
        batch_op.add_column(sa.Column("owner", comment="process that holds the lease", **owner))


def downgrade() -> None:
    with op.batch_alter_table("sync_wave") as batch_op:
        batch_op.drop_column("owner")
    with op.batch_alter_table("sync_batch") as batch_op:
        for name in ("ended_at", "published_at", "owner"):
            batch_op.drop_column(name)
