"""``INSERT … ON CONFLICT`` in the dialect of a connection; only that dialect is imported."""

from typing import Any

from sqlalchemy import Connection, Table


def insert_into(connection: Connection, table: Table) -> Any:
    """An insert with ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    # PostgreSQL's takes 30 ms to import, which most installations can do without.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as into_sqlite  # noqa: PLC0415

        return into_sqlite(table)
    from sqlalchemy.dialects.postgresql import insert as into_postgresql  # noqa: PLC0415

    return into_postgresql(table)
