"""Logins of the page that were ended before their time: their cookies open nothing any more."""

from sqlalchemy import delete, select

from storage.api_tables import api_logout
from storage.database import Database
from storage.upserts import insert_into


class ApiLogouts:
    """Logins that ended, each until its cookie would have. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def end(self, nonce: str, lasts_s: float) -> None:
        """End a login. Idempotent.

        Args:
            nonce: The login's.
            lasts_s: Its cookie could open no longer than so many seconds from now.

        Raises:
            StorageError: The database cannot be used; the login goes on.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(delete(api_logout).where(api_logout.c.until < now))
            entered = insert_into(connection, api_logout).values(nonce=nonce, until=now + lasts_s)
            connection.execute(entered.on_conflict_do_nothing())

    def nonces(self) -> frozenset[str]:
        """The logins that ended.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database.reading() as connection:
            return frozenset(connection.scalars(select(api_logout.c.nonce)))
