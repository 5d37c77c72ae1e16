"""Upkeep of a SQLite file that holds nobody up.

Nothing here vacuums. Rows that go leave pages that the next rows fill, so a file stops growing once
as much leaves as comes; giving the pages back means writing the whole file anew under a lock, which
is for a person to do when nothing runs.
"""

from sqlalchemy import text

from storage.database import Database

_ROWS_LOOKED_AT = 400


def optimize(database: Database) -> None:
    """Bring the statistics that queries are planned with up to date, by a sample of each index.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.writing() as connection:
        connection.execute(text(f"PRAGMA analysis_limit = {_ROWS_LOOKED_AT}"))
        connection.execute(text("PRAGMA optimize"))


def unused_bytes(database: Database) -> int:
    """Bytes of the file that hold nothing, and are filled before it grows.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        pages = connection.scalar(text("PRAGMA freelist_count"))
        size = connection.scalar(text("PRAGMA page_size"))
    return int(pages or 0) * int(size or 0)
