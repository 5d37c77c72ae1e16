"""Tables of the web application: who may ask, and what they wrote.

Instants are epoch seconds on the database's clock.
"""

from sqlalchemy import (
    Column,
    Double,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from storage.metadata import metadata

api_key = Table(
    "api_key",
    metadata,
    Column("key_id", String(16), primary_key=True, comment="first part of the key, no secret"),
    Column("name", String(80), nullable=False, comment="what it is for"),
    Column("scope", String(16), nullable=False, comment="read or operate"),
    Column("secret_hash", String(64), nullable=False, comment="SHA-256 of its second part"),
    Column("created_at", Double, nullable=False),
    Column("created_by", String(120), nullable=False, comment="user@host"),
    Column("revoked_at", Double),
    Column("last_used_at", Double, comment="to about a minute"),
)

api_audit = Table(
    "api_audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("key_id", String(16), comment="who asked; null: nobody who is known"),
    Column("via", String(16), nullable=False, comment="key, session or nobody"),
    Column("address", String(64), nullable=False, comment="of the client"),
    Column("method", String(8), nullable=False),
    Column("path", String(200), nullable=False),
    Column("status", Integer, comment="of the answer; null: none was given yet"),
    Column("about", Text, nullable=False, comment="JSON: what was asked for, and what came of it"),
    Index("ix_api_audit_at", "at"),
)
"""Every request that writes, refused ones too."""

api_request = Table(
    "api_request",
    metadata,
    Column("key_id", String(16), nullable=False),
    Column("idempotency_key", String(200), nullable=False),
    Column("content", String(64), nullable=False, comment="SHA-256 of what was asked for"),
    Column("subject", String(64), nullable=False, comment="the run or task that it became"),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("key_id", "idempotency_key"),
    Index("ix_api_request_created_at", "created_at"),
)
"""Requests that name themselves: asked again, they are answered by what the first one became."""

api_logout = Table(
    "api_logout",
    metadata,
    Column("nonce", String(64), primary_key=True, comment="of the login"),
    Column("until", Double, nullable=False, comment="its cookie opens nothing later anyway"),
)
"""Logins of the page that were ended before their time."""
