"""Table of the lake's manifest: what every file was when it was written."""

from sqlalchemy import BigInteger, Column, Double, PrimaryKeyConstraint, String, Table

from storage.metadata import metadata

lake_file = Table(
    "lake_file",
    metadata,
    Column("path", String(200), nullable=False, comment="below the lake, by /"),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("sha256", String(64), nullable=False),
    Column("modified_ns", BigInteger, nullable=False, comment="the file's own time"),
    Column("written_at", Double, nullable=False, comment="epoch seconds, UTC"),
    PrimaryKeyConstraint("path"),
)
