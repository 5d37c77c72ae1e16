"""Codes and names with their dates, listing and delisting, and sessions proven to hold no bar.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "symbol_alias",
        sa.Column("symbol_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(16), nullable=False, comment="836077.BJ"),
        sa.Column(
            "valid_from", sa.Date(), comment="first session it was seen; null: since it was listed"
        ),
        sa.Column(
            "valid_to",
            sa.Date(),
            comment="first session it bore another code; null: its present code",
        ),
        sa.Column(
            "recoded", sa.Boolean(), nullable=False, comment="no bar of the lake stands under it"
        ),
        sa.ForeignKeyConstraint(
            ["symbol_id"], ["symbol.id"], name=op.f("fk_symbol_alias_symbol_id_symbol")
        ),
        sa.PrimaryKeyConstraint("symbol_id", "code", name=op.f("pk_symbol_alias")),
        sa.UniqueConstraint("code", name=op.f("uq_symbol_alias_code")),
    )
    op.create_table(
        "alias_proposal",
        sa.Column("old_code", sa.String(16), nullable=False),
        sa.Column("new_code", sa.String(16), nullable=False),
        sa.Column(
            "session", sa.Date(), nullable=False, comment="session of the list that suggests it"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it was not accepted by itself"),
        sa.PrimaryKeyConstraint("old_code", "new_code", name=op.f("pk_alias_proposal")),
    )
    op.create_table(
        "symbol_name",
        sa.Column("symbol_id", sa.Integer(), nullable=False),
        sa.Column(
            "valid_from",
            sa.Date(),
            nullable=False,
            comment="session of the first list with this name",
        ),
        sa.Column("name", sa.String(64), nullable=False, comment="as the list gave it"),
        sa.ForeignKeyConstraint(
            ["symbol_id"], ["symbol.id"], name=op.f("fk_symbol_name_symbol_id_symbol")
        ),
        sa.PrimaryKeyConstraint("symbol_id", "valid_from", name=op.f("pk_symbol_name")),
    )
    # What the lists have said so far is where the names begin.
    op.execute(
        "INSERT INTO symbol_name (symbol_id, valid_from, name) "
        "SELECT id, last_listed, name FROM symbol "
        "WHERE last_listed IS NOT NULL AND name IS NOT NULL"
    )
    op.create_table(
        "symbol_listing",
        sa.Column("symbol_id", sa.Integer(), nullable=False),
        sa.Column("listed_on", sa.Date(), comment="its first session, where lists prove it"),
        sa.Column(
            "delisted_on", sa.Date(), comment="session of the first list that no longer named it"
        ),
        sa.ForeignKeyConstraint(
            ["symbol_id"], ["symbol.id"], name=op.f("fk_symbol_listing_symbol_id_symbol")
        ),
        sa.PrimaryKeyConstraint("symbol_id", name=op.f("pk_symbol_listing")),
    )
    op.create_table(
        "no_trade",
        sa.Column("dataset", sa.String(16), nullable=False),
        sa.Column("period", sa.String(8), nullable=False, comment="of the answer; a list: session"),
        sa.Column("subject", sa.String(40), nullable=False, comment="symbol or board"),
        sa.Column("proof", sa.String(8), nullable=False, comment="list, answer or edge"),
        sa.Column("first", sa.Date(), nullable=False),
        sa.Column("last", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint(
            "dataset", "period", "subject", "proof", "first", name=op.f("pk_no_trade")
        ),
    )


def downgrade() -> None:
    for name in ("no_trade", "symbol_listing", "symbol_name", "alias_proposal", "symbol_alias"):
        op.drop_table(name)
