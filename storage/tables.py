"""Tables of the catalog and of the klines. Instants in klines are epoch numbers, UTC."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from market.bars import Dataset
from market.periods import Period
from storage.metadata import metadata

symbol = Table(
    "symbol",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("symbol", String(16), nullable=False, unique=True, comment="600519.SH"),
    Column("name", String(64)),
    Column("listed", Boolean, nullable=False, comment="named by the latest list"),
    Column("first_listed", Date, comment="session of the first list that named it"),
    Column("last_listed", Date, comment="session of the latest list that named it; null: none did"),
    Column("suspended_on", Date, comment="session at which the latest list showed no trade of it"),
)

board = Table(
    "board",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("code", String(16), nullable=False, unique=True, comment="BK0477"),
    Column("kind", String(16)),
    Column("name", String(64)),
    Column("active", Boolean, nullable=False, comment="named by the latest list"),
    Column("first_listed", Date),
    Column("last_listed", Date),
    Column("members_on", Date, comment="session of the latest whole member list"),
)

board_member = Table(
    "board_member",
    metadata,
    Column("board_id", Integer, ForeignKey("board.id"), nullable=False),
    Column("symbol_id", Integer, ForeignKey("symbol.id"), nullable=False),
    Column("valid_from", Date, nullable=False, comment="first session it was a member"),
    Column("valid_to", Date, comment="first session it was no longer one; null: it still is"),
    PrimaryKeyConstraint("board_id", "symbol_id", "valid_from"),
    Index("ix_board_member_symbol_id", "symbol_id"),
)
"""Half-open intervals ``[valid_from, valid_to)`` of membership."""

board_name = Table(
    "board_name",
    metadata,
    Column("board_id", Integer, ForeignKey("board.id"), nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("name", String(64), nullable=False),
    PrimaryKeyConstraint("board_id", "valid_from"),
)
"""Names of boards with the session each was first seen: a board is its code, names change."""

board_taxonomy = Table(
    "board_taxonomy",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("first_session", Date, nullable=False),
    Column("last_session", Date, nullable=False),
    Column("boards", Text, nullable=False, comment="JSON: codes, ascending"),
    UniqueConstraint("kind", "first_session"),
)
"""Versions of the set of boards of a kind, with the sessions whose lists showed them."""

list_quarantine = Table(
    "list_quarantine",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("list", String(40), nullable=False, comment="symbols, concept_boards, BK0477 …"),
    Column("session", Date, nullable=False),
    Column("run_id", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("content", Text, nullable=False, comment="JSON: the names it held"),
    Column("status", String(16), nullable=False, comment="open, accepted, superseded …"),
    Column("seen_at", Double, nullable=False, comment="epoch seconds, UTC"),
    Column("whole", Text, comment="JSON: its rows; null: not kept"),
    Column("decided_by", String(120), comment="user@host"),
    Column("decided_at", Double, comment="epoch seconds, UTC"),
    Column("note", Text),
    Index("ix_list_quarantine_list", "list"),
)
"""Lists that were not taken because they are not proven whole."""


def _values() -> list[Column[object]]:
    return [
        Column("open", Double),
        Column("high", Double, nullable=False),
        Column("low", Double, nullable=False),
        Column("close", Double, nullable=False),
        Column("volume", BigInteger, nullable=False, comment="shares"),
        Column("amount", Double, nullable=False, comment="CNY"),
        Column("turnover_rate", Double, comment="percent"),
        Column("state", String(16), nullable=False),
        Column("source", String(32), nullable=False),
        Column("fetched_at", BigInteger, nullable=False, comment="epoch microseconds, UTC"),
    ]


kline_revision = Table(
    "kline_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("dataset", String(16), nullable=False),
    Column("period", String(8), nullable=False),
    Column("subject_id", Integer, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    *_values(),
    Column("revised_at", BigInteger, nullable=False, comment="when its successor was fetched"),
    Index(
        "uq_kline_revision_version",
        *("dataset", "period", "subject_id", "end_at", "fetched_at", "state"),
        unique=True,
    ),
)
"""Bars that others took the place of, and bars that came too late to stand: each fetch once."""


def _kline_table(dataset: Dataset, period: Period) -> Table:
    owner = "symbol" if dataset is Dataset.KLINE else "board"
    name = f"{dataset.value}_{period.value}"
    return Table(
        name,
        metadata,
        Column(f"{owner}_id", Integer, ForeignKey(f"{owner}.id"), nullable=False),
        Column("end_at", BigInteger, nullable=False, comment="epoch seconds, UTC"),
        Column("session", Date, nullable=False),
        *_values(),
        PrimaryKeyConstraint(f"{owner}_id", "end_at"),
        Index(f"ix_{name}_session", "session"),
        sqlite_with_rowid=False,
    )


KLINE_TABLES: dict[tuple[Dataset, Period], Table] = {
    key: _kline_table(*key)
    for key in (
        (Dataset.KLINE, Period.M1),
        (Dataset.KLINE, Period.M5),
        (Dataset.KLINE, Period.DAILY),
        (Dataset.BOARD_KLINE, Period.DAILY),
    )
}
"""One table per dataset and period that is fetched."""
