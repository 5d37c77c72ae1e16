"""Facts about an installation, such as whether it holds real or simulated prices."""

from sqlalchemy import insert, select

from storage.database import Database
from storage.ledger_tables import installation


def read_fact(database: Database, name: str) -> str | None:
    """A fact as the ledger has recorded it; None if it is not known yet.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        return connection.scalar(select(installation.c.value).where(installation.c.name == name))


def settle_fact(database: Database, name: str, value: str) -> str:
    """Record a fact if it is not known yet; the fact as known.

    Raises:
        StorageError: The database cannot be used.
    """
    known = select(installation.c.value).where(installation.c.name == name)
    with database.writing() as connection:
        held = connection.scalar(known)
        if held is not None:
            return str(held)
        connection.execute(insert(installation).values(name=name, value=value))
    return value
