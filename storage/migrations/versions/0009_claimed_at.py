"""When an attempt at a batch, and the commit of a wave, began: how long each takes.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, comment in (
        ("sync_batch", "when the last attempt began"),
        ("sync_wave", "when the last commit of it began"),
    ):
        with op.batch_alter_table(table) as batch_op:
            batch_op.add_column(
                sa.Column("claimed_at", sa.Double(), nullable=True, comment=comment)
            )


def downgrade() -> None:
    for table in ("sync_wave", "sync_batch"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column("claimed_at")
