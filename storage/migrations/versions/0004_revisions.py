"""Every fetch of a bar that does not stand is kept, once.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_VERSION = ["dataset", "period", "subject_id", "end_at", "fetched_at", "state"]


def upgrade() -> None:
    op.execute(
        "DELETE FROM kline_revision WHERE id NOT IN "
        f"(SELECT min(id) FROM kline_revision GROUP BY {', '.join(_VERSION)})"
    )
    op.drop_index("ix_kline_revision_subject_id", "kline_revision")
    # Serves the reader too: it begins with what a reader asks for.
    op.create_index("uq_kline_revision_version", "kline_revision", _VERSION, unique=True)


def downgrade() -> None:
    op.drop_index("uq_kline_revision_version", "kline_revision")
    op.create_index("ix_kline_revision_subject_id", "kline_revision", _VERSION[:4], unique=False)
