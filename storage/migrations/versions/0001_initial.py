"""Everything that an installation keeps

Revision: 0001, after
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "board",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False, comment="BK0477"),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("name", sa.String(length=64), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False, comment="named by the latest list"),
        sa.Column("first_listed", sa.Date(), nullable=True),
        sa.Column("last_listed", sa.Date(), nullable=True),
        sa.Column(
            "members_on",
            sa.Date(),
            nullable=True,
            comment="session of the latest whole member list",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board")),
        sa.UniqueConstraint("code", name=op.f("uq_board_code")),
    )
    op.create_table(
        "coverage",
        sa.Column("dataset", sa.String(length=16), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("covered_from", sa.Date(), nullable=False),
        sa.Column("covered_to", sa.Date(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint(
            "dataset", "period", "subject", "covered_from", name=op.f("pk_coverage")
        ),
    )
    op.create_table(
        "installation",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    op.create_table(
        "kline_quarantine",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("dataset", sa.String(length=16), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False, comment="epoch seconds"),
        sa.Column("row", sa.Text(), nullable=False, comment="JSON: the rejected bar"),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("quarantined_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kline_quarantine")),
        sa.UniqueConstraint(
            "dataset",
            "period",
            "subject",
            "end_at",
            "reasons",
            name=op.f("uq_kline_quarantine_dataset"),
        ),
    )
    op.create_table(
        "kline_revision",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("dataset", sa.String(length=16), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        *_values(),
        sa.Column(
            "revised_at", sa.BigInteger(), nullable=False, comment="when its successor was fetched"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kline_revision")),
    )
    with op.batch_alter_table("kline_revision", schema=None) as batch_op:
        batch_op.create_index(
            "ix_kline_revision_subject_id",
            ["dataset", "period", "subject_id", "end_at"],
            unique=False,
        )

    op.create_table(
        "list_quarantine",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column(
            "list",
            sa.String(length=40),
            nullable=False,
            comment="symbols, concept_boards, BK0477 …",
        ),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON: the names it held"),
        sa.Column(
            "status", sa.String(length=16), nullable=False, comment="open, accepted or superseded"
        ),
        sa.Column("seen_at", sa.Double(), nullable=False, comment="epoch seconds, UTC"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_list_quarantine")),
    )
    with op.batch_alter_table("list_quarantine", schema=None) as batch_op:
        batch_op.create_index("ix_list_quarantine_list", ["list"], unique=False)

    op.create_table(
        "symbol",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("symbol", sa.String(length=16), nullable=False, comment="600519.SH"),
        sa.Column("name", sa.String(length=64), nullable=True),
        sa.Column("listed", sa.Boolean(), nullable=False, comment="named by the latest list"),
        sa.Column(
            "first_listed",
            sa.Date(),
            nullable=True,
            comment="session of the first list that named it",
        ),
        sa.Column(
            "last_listed",
            sa.Date(),
            nullable=True,
            comment="session of the latest list that named it; null: none did",
        ),
        sa.Column(
            "suspended_on",
            sa.Date(),
            nullable=True,
            comment="session at which the latest list showed no trade of it",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_symbol")),
        sa.UniqueConstraint("symbol", name=op.f("uq_symbol_symbol")),
    )
    op.create_table(
        "sync_run",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column(
            "slot",
            sa.String(length=40),
            nullable=True,
            comment="scheduled instant the run serves; null: on demand",
        ),
        sa.Column("period", sa.String(length=8), nullable=True),
        sa.Column("upstream", sa.String(length=200), nullable=False),
        sa.Column("lane", sa.String(length=8), nullable=False),
        sa.Column("params", sa.Text(), nullable=False, comment="JSON: what was asked for"),
        sa.Column(
            "notices",
            sa.Text(),
            nullable=False,
            comment="JSON: what the plan wants a person to know",
        ),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("deadline_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_sync_run")),
        sa.UniqueConstraint("kind", "slot", name=op.f("uq_sync_run_kind")),
    )
    with op.batch_alter_table("sync_run", schema=None) as batch_op:
        batch_op.create_index("ix_sync_run_created_at", ["created_at"], unique=False)

    op.create_table(
        "board_member",
        sa.Column("board_id", sa.Integer(), nullable=False),
        sa.Column("symbol_id", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False, comment="first session it was a member"),
        sa.Column(
            "valid_to",
            sa.Date(),
            nullable=True,
            comment="first session it was no longer one; null: it still is",
        ),
        sa.ForeignKeyConstraint(
            ["board_id"], ["board.id"], name=op.f("fk_board_member_board_id_board")
        ),
        sa.ForeignKeyConstraint(
            ["symbol_id"], ["symbol.id"], name=op.f("fk_board_member_symbol_id_symbol")
        ),
        sa.PrimaryKeyConstraint(
            "board_id", "symbol_id", "valid_from", name=op.f("pk_board_member")
        ),
    )
    with op.batch_alter_table("board_member", schema=None) as batch_op:
        batch_op.create_index("ix_board_member_symbol_id", ["symbol_id"], unique=False)

    op.create_table(
        "board_name",
        sa.Column("board_id", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["board_id"], ["board.id"], name=op.f("fk_board_name_board_id_board")
        ),
        sa.PrimaryKeyConstraint("board_id", "valid_from", name=op.f("pk_board_name")),
    )
    op.create_table(
        "sync_batch",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("batch_no", sa.Integer(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("work", sa.Text(), nullable=False, comment="JSON: kind of work and its items"),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("manifest", sa.Text(), nullable=True, comment="JSON: the staged files"),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("requests", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["sync_run.run_id"],
            name=op.f("fk_sync_batch_run_id_sync_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "batch_no", name=op.f("pk_sync_batch")),
    )
    with op.batch_alter_table("sync_batch", schema=None) as batch_op:
        batch_op.create_index("ix_sync_batch_state", ["state"], unique=False)

    op.create_table(
        "sync_outcome",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("work", sa.String(length=24), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False, comment="symbol, board or list"),
        sa.Column("batch_no", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "covered_from",
            sa.Date(),
            nullable=True,
            comment="first session this outcome proves complete",
        ),
        sa.Column(
            "covered_to",
            sa.Date(),
            nullable=True,
            comment="last session this outcome proves complete",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["sync_run.run_id"],
            name=op.f("fk_sync_outcome_run_id_sync_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "work", "subject", name=op.f("pk_sync_outcome")),
    )
    op.create_table(
        "sync_wave",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("bars_written", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("committed_at", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["sync_run.run_id"],
            name=op.f("fk_sync_wave_run_id_sync_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "wave", name=op.f("pk_sync_wave")),
    )
    for owner, code, table in _KLINES:
        _create_kline_table(owner, table)
        op.execute(_view(owner, code, table, op.get_bind().dialect.name))


_KLINES = (
    ("symbol", "symbol", "kline_1m"),
    ("symbol", "symbol", "kline_5m"),
    ("symbol", "symbol", "kline_daily"),
    ("board", "code", "board_kline_daily"),
)


def _values() -> list[sa.Column]:
    return [
        sa.Column("open", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False, comment="shares"),
        sa.Column("amount", sa.Double(), nullable=False, comment="CNY"),
        sa.Column("turnover_rate", sa.Double(), nullable=True, comment="percent"),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False, comment="epoch microseconds, UTC"),
    ]


def _create_kline_table(owner: str, table: str) -> None:
    op.create_table(
        table,
        sa.Column(f"{owner}_id", sa.Integer(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False, comment="epoch seconds, UTC"),
        sa.Column("session", sa.Date(), nullable=False),
        *_values(),
        sa.ForeignKeyConstraint(
            [f"{owner}_id"], [f"{owner}.id"], name=op.f(f"fk_{table}_{owner}_id_{owner}")
        ),
        sa.PrimaryKeyConstraint(f"{owner}_id", "end_at", name=op.f(f"pk_{table}")),
        sqlite_with_rowid=False,
    )
    op.create_index(f"ix_{table}_session", table, ["session"], unique=False)


def _view(owner: str, code: str, table: str, dialect: str) -> str:
    """Bars as people read them: codes instead of ids, Shanghai time instead of epoch seconds."""
    end_at = (
        "datetime(k.end_at, 'unixepoch', '+8 hours')"
        if dialect == "sqlite"
        else "to_timestamp(k.end_at) AT TIME ZONE 'Asia/Shanghai'"
    )
    return (
        f"CREATE VIEW v_{table} AS SELECT o.{code} AS {owner}, k.session, {end_at} AS end_at, "
        "k.open, k.high, k.low, k.close, k.volume, k.amount, k.turnover_rate, k.state, k.source "
        f'FROM "{table}" k JOIN {owner} o ON o.id = k.{owner}_id'
    )


def downgrade() -> None:
    for _, _, table in _KLINES:
        op.execute(f"DROP VIEW v_{table}")
        op.drop_index(f"ix_{table}_session", table)
        op.drop_table(table)
    op.drop_table("sync_wave")
    op.drop_table("sync_outcome")
    with op.batch_alter_table("sync_batch", schema=None) as batch_op:
        batch_op.drop_index("ix_sync_batch_state")

    op.drop_table("sync_batch")
    op.drop_table("board_name")
    with op.batch_alter_table("board_member", schema=None) as batch_op:
        batch_op.drop_index("ix_board_member_symbol_id")

    op.drop_table("board_member")
    with op.batch_alter_table("sync_run", schema=None) as batch_op:
        batch_op.drop_index("ix_sync_run_created_at")

    op.drop_table("sync_run")
    op.drop_table("symbol")
    with op.batch_alter_table("list_quarantine", schema=None) as batch_op:
        batch_op.drop_index("ix_list_quarantine_list")

    op.drop_table("list_quarantine")
    with op.batch_alter_table("kline_revision", schema=None) as batch_op:
        batch_op.drop_index("ix_kline_revision_subject_id")

    op.drop_table("kline_revision")
    op.drop_table("kline_quarantine")
    op.drop_table("installation")
    op.drop_table("coverage")
    op.drop_table("board")
