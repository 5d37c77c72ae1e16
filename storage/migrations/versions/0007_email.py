"""The delivery ledger of emails.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "email",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column(
            "key",
            sa.String(length=200),
            nullable=False,
            comment="names the mail: once for each recipient",
        ),
        sa.Column("message_id", sa.String(length=320), nullable=False, comment="as in its header"),
        sa.Column("sender", sa.String(length=320), nullable=False, comment="the envelope's"),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "attachments",
            sa.Text(),
            nullable=False,
            comment="JSON: names below the reports folder",
        ),
        sa.Column(
            "content",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of all that a reader gets",
        ),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email")),
        sa.UniqueConstraint("key", name=op.f("uq_email_key")),
    )
    op.create_index("ix_email_created_at", "email", ["created_at"])
    op.create_table(
        "email_delivery",
        sa.Column("email_id", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column(
            "state",
            sa.String(length=16),
            nullable=False,
            comment="see storage.email_records.DeliveryState",
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column(
            "request",
            sa.String(length=80),
            nullable=False,
            comment="id of the task or command that asked",
        ),
        sa.Column(
            "token",
            sa.String(length=32),
            nullable=True,
            comment="of the attempt that sends, or sent last",
        ),
        sa.Column(
            "sent_by",
            sa.String(length=80),
            nullable=True,
            comment="id of the task or command that sends, or sent last",
        ),
        sa.Column(
            "code",
            sa.Integer(),
            nullable=True,
            comment="the server's reply code; null: it gave none",
        ),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=True,
            comment="the server's words, or why it was not sent",
        ),
        sa.Column(
            "began_at",
            sa.Double(),
            nullable=True,
            comment="before the content of the last attempt left",
        ),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["email_id"], ["email.id"], name=op.f("fk_email_delivery_email_id_email")
        ),
        sa.PrimaryKeyConstraint("email_id", "recipient", name=op.f("pk_email_delivery")),
    )


def downgrade() -> None:
    op.drop_table("email_delivery")
    op.drop_table("email")
