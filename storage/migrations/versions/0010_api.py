"""Who may ask the web application, what they wrote, requests asked before, logins that ended.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column(
            "key_id",
            sa.String(length=16),
            nullable=False,
            comment="first part of the key, no secret",
        ),
        sa.Column("name", sa.String(length=80), nullable=False, comment="what it is for"),
        sa.Column("scope", sa.String(length=16), nullable=False, comment="read or operate"),
        sa.Column(
            "secret_hash",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of its second part",
        ),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=120), nullable=False, comment="user@host"),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True, comment="to about a minute"),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_key")),
    )
    op.create_table(
        "api_audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column(
            "key_id",
            sa.String(length=16),
            nullable=True,
            comment="who asked; null: nobody who is known",
        ),
        sa.Column("via", sa.String(length=16), nullable=False, comment="key, session or nobody"),
        sa.Column("address", sa.String(length=64), nullable=False, comment="of the client"),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column(
            "status", sa.Integer(), nullable=True, comment="of the answer; null: none was given yet"
        ),
        sa.Column(
            "about",
            sa.Text(),
            nullable=False,
            comment="JSON: what was asked for, and what came of it",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_audit")),
    )
    op.create_index("ix_api_audit_at", "api_audit", ["at"])
    op.create_table(
        "api_request",
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=False),
        sa.Column(
            "content", sa.String(length=64), nullable=False, comment="SHA-256 of what was asked for"
        ),
        sa.Column(
            "subject",
            sa.String(length=64),
            nullable=False,
            comment="the run or task that it became",
        ),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name=op.f("pk_api_request")),
    )
    op.create_index("ix_api_request_created_at", "api_request", ["created_at"])
    op.create_table(
        "api_logout",
        sa.Column("nonce", sa.String(length=64), nullable=False, comment="of the login"),
        sa.Column(
            "until", sa.Double(), nullable=False, comment="its cookie opens nothing later anyway"
        ),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_api_logout")),
    )


def downgrade() -> None:
    op.drop_table("api_logout")
    op.drop_index("ix_api_request_created_at", table_name="api_request")
    op.drop_table("api_request")
    op.drop_index("ix_api_audit_at", table_name="api_audit")
    op.drop_table("api_audit")
    op.drop_table("api_key")
