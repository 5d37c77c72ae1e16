"""What people decided about what is in quarantine; versions of the set of boards.

Revision ID: 0006
Revises: 0005
"""

import json

import sqlalchemy as sa
from alembic import op

from market.boards import BoardKind
from storage.board_history import note_taxonomy
from storage.kline_quarantine import content_hash

revision = "0006"
down_revision = "0005"
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

    op.create_table(
        "board_taxonomy",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("first_session", sa.Date(), nullable=False),
        sa.Column("last_session", sa.Date(), nullable=False),
        sa.Column("boards", sa.Text(), nullable=False, comment="JSON: codes, ascending"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board_taxonomy")),
        sa.UniqueConstraint("kind", "first_session", name=op.f("uq_board_taxonomy_kind")),
    )
    _begin_taxonomies(connection)


def _begin_taxonomies(connection: sa.Connection) -> None:
    """The boards held are the first version: otherwise the next list would have no predecessor."""
    board = sa.table(
        "board",
        sa.column("code"),
        sa.column("kind"),
        sa.column("active", sa.Boolean()),
        sa.column("last_listed", sa.Date()),
    )
    rows = connection.execute(sa.select(board).where(board.c.active)).all()
    for kind in sorted({row.kind for row in rows if row.kind and row.last_listed}):
        mine = [row for row in rows if row.kind == kind]
        session = max(row.last_listed for row in mine if row.last_listed)
        note_taxonomy(connection, BoardKind(kind), [row.code for row in mine], session)


def downgrade() -> None:
    op.drop_table("board_taxonomy")
    with op.batch_alter_table("list_quarantine") as batch_op:
        for name in ("note", "decided_at", "decided_by", "whole"):
            batch_op.drop_column(name)
    with op.batch_alter_table("kline_quarantine") as batch_op:
        batch_op.drop_constraint(_UNIQUE, type_="unique")
        batch_op.create_unique_constraint(_UNIQUE, list(_KEY))
        for name in ("note", "decided_at", "decided_by", "content_hash", "status"):
            batch_op.drop_column(name)
