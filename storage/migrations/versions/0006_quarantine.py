"""What a person decided about rows and lists in quarantine, by whom and when.

Revision ID: 0006
Revises: 0002
"""

import json

import sqlalchemy as sa
from alembic import op

from storage.kline_quarantine import content_hash

revision = "0006"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = ("dataset", "period", "subject", "end_at", "reasons")
_UNIQUE = "uq_kline_quarantine_dataset"


def _decision() -> list[sa.Column]:
    return [
        sa.Column("decided_by", sa.String(length=120), nullable=True, comment="user@host"),
        sa.Column("decided_at", sa.Double(), nullable=True, comment="epoch seconds, UTC"),
        sa.Column("note", sa.Text(), nullable=True),
    ]


def upgrade() -> None:
    with op.batch_alter_table("kline_quarantine") as batch_op:
        batch_op.add_column(
            sa.Column(
                "status",
                sa.String(length=16),
                nullable=False,
                server_default="open",
                comment="open, accepted or dropped",
            )
        )
        batch_op.add_column(
            sa.Column("content_hash", sa.String(length=64), nullable=False, server_default="")
        )
        for column in _decision():
            batch_op.add_column(column)
    bars = sa.table(
        "kline_quarantine", sa.column("id"), sa.column("row"), sa.column("content_hash")
    )
    connection = op.get_bind()
    for number, row in connection.execute(sa.select(bars.c.id, bars.c.row)).all():
        connection.execute(
            bars.update()
            .where(bars.c.id == number)
            .values(content_hash=content_hash(json.loads(row)))
        )
    with op.batch_alter_table("kline_quarantine") as batch_op:
        batch_op.drop_constraint(_UNIQUE, type_="unique")
        batch_op.create_unique_constraint(_UNIQUE, [*_KEY, "content_hash"])
    with op.batch_alter_table("list_quarantine") as batch_op:
        batch_op.add_column(
            sa.Column("whole", sa.Text(), nullable=True, comment="JSON: its rows; null: not kept")
        )
        for column in _decision():
            batch_op.add_column(column)


def downgrade() -> None:
    with op.batch_alter_table("list_quarantine") as batch_op:
        for name in ("note", "decided_at", "decided_by", "whole"):
            batch_op.drop_column(name)
    with op.batch_alter_table("kline_quarantine") as batch_op:
        batch_op.drop_constraint(_UNIQUE, type_="unique")
        batch_op.create_unique_constraint(_UNIQUE, list(_KEY))
        for name in ("note", "decided_at", "decided_by", "content_hash", "status"):
            batch_op.drop_column(name)
