"""Tables of the ledger: what was planned, who works on it, how it ended, and what is covered.

Instants are epoch seconds on the database's clock.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from storage.metadata import metadata

sync_run = Table(
    "sync_run",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("slot", String(40), comment="scheduled instant the run serves; null: on demand"),
    Column("period", String(8)),
    Column("upstream", String(200), nullable=False),
    Column("lane", String(8), nullable=False),
    Column("params", Text, nullable=False, comment="JSON: what was asked for"),
    Column("notices", Text, nullable=False, comment="JSON: what the plan wants a person to know"),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("created_at", Double, nullable=False),
    Column("deadline_at", Double, nullable=False),
    Column("finished_at", Double),
    UniqueConstraint("kind", "slot"),
    Index("ix_sync_run_created_at", "created_at"),
)

sync_wave = Table(
    "sync_wave",
    metadata,
    Column("run_id", String(32), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("queue", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("token", String(32)),
    Column("owner", String(120), comment="process that holds the lease"),
    Column("lease_until", Double),
    Column("claimed_at", Double, comment="when the last commit of it began"),
    Column("bars_written", BigInteger, nullable=False, server_default="0"),
    Column("committed_at", Double),
    Column("reason", Text),
    PrimaryKeyConstraint("run_id", "wave"),
    ForeignKeyConstraint(["run_id"], ["sync_run.run_id"], ondelete="CASCADE"),
)

sync_batch = Table(
    "sync_batch",
    metadata,
    Column("run_id", String(32), nullable=False),
    Column("batch_no", Integer, nullable=False),
    Column("wave", Integer, nullable=False),
    Column("work", Text, nullable=False, comment="JSON: kind of work and its items"),
    Column("item_count", Integer, nullable=False),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("token", String(32)),
    Column("owner", String(120), comment="process that holds the lease"),
    Column("lease_until", Double),
    Column("published_at", Double, comment="last handed to the broker"),
    Column("claimed_at", Double, comment="when the last attempt began"),
    Column("ended_at", Double),
    Column("manifest", Text, comment="JSON: the staged files"),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("requests", Integer, nullable=False, server_default="0"),
    Column("reason", Text),
    PrimaryKeyConstraint("run_id", "batch_no"),
    ForeignKeyConstraint(["run_id"], ["sync_run.run_id"], ondelete="CASCADE"),
    Index("ix_sync_batch_state", "state"),
)

sync_outcome = Table(
    "sync_outcome",
    metadata,
    Column("run_id", String(32), nullable=False),
    Column("work", String(24), nullable=False),
    Column("subject", String(40), nullable=False, comment="symbol, board or list"),
    Column("batch_no", Integer, nullable=False),
    Column("outcome", String(24), nullable=False),
    Column("reason", Text),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("covered_from", Date, comment="first session this outcome proves complete"),
    Column("covered_to", Date, comment="last session this outcome proves complete"),
    PrimaryKeyConstraint("run_id", "work", "subject"),
    ForeignKeyConstraint(["run_id"], ["sync_run.run_id"], ondelete="CASCADE"),
)

coverage = Table(
    "coverage",
    metadata,
    Column("dataset", String(16), nullable=False),
    Column("period", String(8), nullable=False),
    Column("subject", String(40), nullable=False),
    Column("covered_from", Date, nullable=False),
    Column("covered_to", Date, nullable=False),
    Column("run_id", String(32), nullable=False),
    PrimaryKeyConstraint("dataset", "period", "subject", "covered_from"),
)
"""Closed, disjoint, non-adjacent ranges of sessions proven complete. The watermark of a series is
the end of its first range: it never passes a gap."""

kline_quarantine = Table(
    "kline_quarantine",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(32), nullable=False),
    Column("dataset", String(16), nullable=False),
    Column("period", String(8), nullable=False),
    Column("subject", String(40), nullable=False),
    Column("end_at", BigInteger, nullable=False, comment="epoch seconds"),
    Column("row", Text, nullable=False, comment="JSON: the rejected bar"),
    Column("reasons", Text, nullable=False),
    Column("quarantined_at", Double, nullable=False),
    Column(
        "status",
        String(16),
        nullable=False,
        server_default="open",
        comment="open, accepted or dropped",
    ),
    Column("content_hash", String(64), nullable=False, server_default=""),
    Column("decided_by", String(120), comment="user@host"),
    Column("decided_at", Double, comment="epoch seconds, UTC"),
    Column("note", Text),
    UniqueConstraint("dataset", "period", "subject", "end_at", "reasons", "content_hash"),
)
"""Rows that broke an invariant: kept and reported, never stored as good, never deleted."""

installation = Table(
    "installation",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about this installation, e.g. whether it holds real or simulated prices."""
