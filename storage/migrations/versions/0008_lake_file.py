"""What every file of the lake was when it was written.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lake_file",
        sa.Column("path", sa.String(length=200), nullable=False, comment="below the lake, by /"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes"),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False, comment="the file's own time"),
        sa.Column("written_at", sa.Double(), nullable=False, comment="epoch seconds, UTC"),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_lake_file")),
    )


def downgrade() -> None:
    op.drop_table("lake_file")
