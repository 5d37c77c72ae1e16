"""Tables of the delivery ledger of emails. Instants are epoch seconds on the database's clock."""

from sqlalchemy import (
    Column,
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

from storage.metadata import metadata

email = Table(
    "email",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False, comment="names the mail: once for each recipient"),
    Column("message_id", String(320), nullable=False, comment="as in its header"),
    Column("sender", String(320), nullable=False, comment="the envelope's"),
    Column("subject", Text, nullable=False),
    Column("attachments", Text, nullable=False, comment="JSON: names below the reports folder"),
    Column("content", String(64), nullable=False, comment="SHA-256 of all that a reader gets"),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("key"),
    Index("ix_email_created_at", "created_at"),
)

email_delivery = Table(
    "email_delivery",
    metadata,
    Column("email_id", Integer, ForeignKey("email.id"), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("state", String(16), nullable=False, comment="see storage.email_records.DeliveryState"),
    Column("attempts", Integer, nullable=False),
    Column("request", String(80), nullable=False, comment="id of the task or command that asked"),
    Column("token", String(32), comment="of the attempt that sends, or sent last"),
    Column("sent_by", String(80), comment="id of the task or command that sends, or sent last"),
    Column("code", Integer, comment="the server's reply code; null: it gave none"),
    Column("reason", Text, comment="the server's words, or why it was not sent"),
    Column("began_at", Double, comment="before the content of the last attempt left"),
    Column("changed_at", Double, nullable=False),
    PrimaryKeyConstraint("email_id", "recipient"),
)
