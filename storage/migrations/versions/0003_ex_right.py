"""Ex-rights, the factors that follow from them, and views of adjusted bars.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KLINES = ("kline_1m", "kline_5m", "kline_daily")
_ADJUSTMENTS = ("qfq", "hfq")


def upgrade() -> None:
    op.create_table(
        "ex_right",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("symbol_id", sa.Integer(), nullable=False),
        sa.Column(
            "ex_session", sa.Date(), nullable=False, comment="first session that trades without it"
        ),
        sa.Column("previous_close", sa.Double(), nullable=False, comment="CNY, unadjusted"),
        sa.Column("cash", sa.Double(), nullable=False, comment="CNY a share"),
        sa.Column("bonus", sa.Double(), nullable=False, comment="new shares a share"),
        sa.Column("rights", sa.Double(), nullable=False, comment="shares offered a share"),
        sa.Column("rights_price", sa.Double(), nullable=False, comment="CNY for one of them"),
        sa.Column("reference_price", sa.Double(), nullable=False, comment="CNY, rounded to 0.01"),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("recorded_at", sa.Double(), nullable=False, comment="epoch seconds, UTC"),
        sa.ForeignKeyConstraint(
            ["symbol_id"], ["symbol.id"], name=op.f("fk_ex_right_symbol_id_symbol")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ex_right")),
    )
    op.create_index("ix_ex_right_symbol_id", "ex_right", ["symbol_id", "ex_session", "id"])
    op.create_table(
        "ex_right_factor",
        sa.Column("symbol_id", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False, comment="first day"),
        sa.Column("valid_to", sa.Date(), nullable=False, comment="first day it no longer holds"),
        sa.Column("qfq", sa.Double(), nullable=False, comment="method ratio: adjusted = raw x qfq"),
        sa.Column("hfq", sa.Double(), nullable=False, comment="method ratio: adjusted = raw x hfq"),
        sa.ForeignKeyConstraint(
            ["symbol_id"], ["symbol.id"], name=op.f("fk_ex_right_factor_symbol_id_symbol")
        ),
        sa.PrimaryKeyConstraint("symbol_id", "valid_from", name=op.f("pk_ex_right_factor")),
    )
    dialect = op.get_bind().dialect.name
    for table in _KLINES:
        for adjustment in _ADJUSTMENTS:
            op.execute(_view(table, adjustment, dialect))


def _view(table: str, adjustment: str, dialect: str) -> str:
    """Bars as v_kline_… shows them, prices adjusted by the method ratio."""
    end_at = (
        "datetime(k.end_at, 'unixepoch', '+8 hours')"
        if dialect == "sqlite"
        else "to_timestamp(k.end_at) AT TIME ZONE 'Asia/Shanghai'"
    )
    prices = ", ".join(
        f"k.{name} * coalesce(f.{adjustment}, 1.0) AS {name}"
        for name in ("open", "high", "low", "close")
    )
    return (
        f"CREATE VIEW v_{table}_{adjustment} AS SELECT o.symbol, k.session, {end_at} AS end_at, "
        f"{prices}, k.volume, k.amount, k.turnover_rate, k.state, k.source "
        f'FROM "{table}" k JOIN symbol o ON o.id = k.symbol_id '
        "LEFT JOIN ex_right_factor f ON f.symbol_id = k.symbol_id "
        "AND f.valid_from <= k.session AND f.valid_to > k.session"
    )


def downgrade() -> None:
    for table in _KLINES:
        for adjustment in _ADJUSTMENTS:
            op.execute(f"DROP VIEW v_{table}_{adjustment}")
    op.drop_table("ex_right_factor")
    op.drop_index("ix_ex_right_symbol_id", "ex_right")
    op.drop_table("ex_right")
