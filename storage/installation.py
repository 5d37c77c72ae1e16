"""Facts about an installation, such as whether it holds real or simulated prices."""

from sqlalchemy import select

from storage.database import Database
from storage.ledger_tables import installation


def read_fact(database: Database, name: str) -> str | None:
    """A fact as the ledger has recorded it; None if it is not known yet.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        return connection.scalar(select(installation.c.value).where(installation.c.name == name))
