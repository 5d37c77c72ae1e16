"""Tables of ex-rights: what was found, append-only, and the factors that follow from it."""

from sqlalchemy import (
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
)

from storage.metadata import metadata

ex_right = Table(
    "ex_right",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("symbol_id", Integer, ForeignKey("symbol.id"), nullable=False),
    Column("ex_session", Date, nullable=False, comment="first session that trades without it"),
    Column("previous_close", Double, nullable=False, comment="CNY, unadjusted"),
    Column("cash", Double, nullable=False, comment="CNY a share"),
    Column("bonus", Double, nullable=False, comment="new shares a share"),
    Column("rights", Double, nullable=False, comment="shares offered a share"),
    Column("rights_price", Double, nullable=False, comment="CNY for one of them"),
    Column("reference_price", Double, nullable=False, comment="CNY, rounded to 0.01"),
    Column("source", String(32), nullable=False),
    Column("run_id", String(32), nullable=False),
    Column("recorded_at", Double, nullable=False, comment="epoch seconds, UTC"),
    Index("ix_ex_right_symbol_id", "symbol_id", "ex_session", "id"),
)
"""Of one symbol and session the newest record holds; one without cash and shares withdraws those
before it."""

ex_right_factor = Table(
    "ex_right_factor",
    metadata,
    Column("symbol_id", Integer, ForeignKey("symbol.id"), nullable=False),
    Column("valid_from", Date, nullable=False, comment="first day"),
    Column("valid_to", Date, nullable=False, comment="first day it no longer holds"),
    Column("qfq", Double, nullable=False, comment="method ratio: adjusted = raw x qfq"),
    Column("hfq", Double, nullable=False, comment="method ratio: adjusted = raw x hfq"),
    PrimaryKeyConstraint("symbol_id", "valid_from"),
)
"""Computed from ``ex_right`` whenever that grows; read by the views of adjusted bars."""
