"""Tables of identity and of proven absence: dated codes and names, sessions without trade.

A symbol is its row in ``symbol``, whatever code it bears. Dates are sessions; intervals of codes
are half-open, ``[valid_from, valid_to)``, ranges without trade are closed.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    ForeignKey,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from storage.metadata import metadata

symbol_alias = Table(
    "symbol_alias",
    metadata,
    Column("symbol_id", Integer, ForeignKey("symbol.id"), nullable=False),
    Column("code", String(16), nullable=False, comment="836077.BJ"),
    Column("valid_from", Date, comment="first session it was seen; null: since it was listed"),
    Column("valid_to", Date, comment="first session it bore another code; null: its present code"),
    Column("recoded", Boolean, nullable=False, comment="no bar of the lake stands under it"),
    PrimaryKeyConstraint("symbol_id", "code"),
    UniqueConstraint("code"),
)
"""Every code a renumbered symbol has borne. A symbol that never changed its code has no row."""

alias_proposal = Table(
    "alias_proposal",
    metadata,
    Column("old_code", String(16), nullable=False),
    Column("new_code", String(16), nullable=False),
    Column("session", Date, nullable=False, comment="session of the list that suggests it"),
    Column("reason", Text, nullable=False, comment="why it was not accepted by itself"),
    PrimaryKeyConstraint("old_code", "new_code"),
)
"""Renumberings that a list suggests and does not prove: a person decides."""

symbol_name = Table(
    "symbol_name",
    metadata,
    Column("symbol_id", Integer, ForeignKey("symbol.id"), nullable=False),
    Column("valid_from", Date, nullable=False, comment="session of the first list with this name"),
    Column("name", String(64), nullable=False, comment="as the list gave it"),
    PrimaryKeyConstraint("symbol_id", "valid_from"),
)

symbol_listing = Table(
    "symbol_listing",
    metadata,
    Column("symbol_id", Integer, ForeignKey("symbol.id"), primary_key=True),
    Column("listed_on", Date, comment="its first session, where lists prove it"),
    Column("delisted_on", Date, comment="session of the first list that no longer named it"),
)

no_trade = Table(
    "no_trade",
    metadata,
    Column("dataset", String(16), nullable=False),
    Column("period", String(8), nullable=False, comment="of the answer; a list: session"),
    Column("subject", String(40), nullable=False, comment="symbol or board"),
    Column("proof", String(8), nullable=False, comment="list, answer or edge"),
    Column("first", Date, nullable=False),
    Column("last", Date, nullable=False),
    PrimaryKeyConstraint("dataset", "period", "subject", "proof", "first"),
)
"""Closed ranges of sessions proven to hold no bar, see :mod:`storage.no_trade`."""
