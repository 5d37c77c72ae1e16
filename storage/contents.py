"""What a database holds, in numbers that two copies of it must share."""

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from storage.lake_manifest import manifest_digest
from storage.manifest_tables import lake_file

_REVISION = "alembic_version"


@dataclass(frozen=True, slots=True)
class Contents:
    """What one transaction sees of a database.

    Attributes:
        revision: Of the tables; None: they have none.
        rows: How many rows of each table, by name.
        lake_files: How many files the lake's manifest names.
        lake_sha256: One hash of that manifest.
    """

    revision: str | None
    rows: dict[str, int]
    lake_files: int
    lake_sha256: str


def read_contents(connection: Connection) -> Contents:
    """Count every table within the connection's transaction."""
    tables = sorted(inspect(connection).get_table_names())
    rows = {
        # S608: the names are the database's own.
        name: int(connection.scalar(text(f'SELECT count(*) FROM "{name}"')) or 0)  # noqa: S608
        for name in tables
    }
    revision = None
    if rows.get(_REVISION):
        revision = connection.scalar(text(f"SELECT version_num FROM {_REVISION}"))  # noqa: S608
    count, digest = manifest_digest(connection) if lake_file.name in rows else (0, "")
    return Contents(revision, rows, count, digest)


def difference(expected: Contents, found: Contents) -> str | None:
    """What two databases do not share, in a few words; None if they do."""
    if expected.revision != found.revision:
        return f"revision {found.revision} instead of {expected.revision}"
    for name in sorted(expected.rows.keys() | found.rows.keys()):
        one, other = expected.rows.get(name), found.rows.get(name)
        if one != other:
            return f"{_count(other)} instead of {_count(one)} in {name}"
    if expected.lake_sha256 != found.lake_sha256:
        return "another manifest of the lake"
    return None


def _count(rows: int | None) -> str:
    return "no table" if rows is None else f"{rows:,} rows"
