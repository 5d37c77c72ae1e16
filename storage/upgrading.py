"""Bringing tables up to date with Alembic, which only a database that is not needs to load."""

import logging

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from storage.database import MIGRATIONS

CannotUpgradeError = CommandError
"""The database is of a revision that is not known here."""


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date, within the connection's transaction.

    Raises:
        CannotUpgradeError: A newer version of this program has used the database.
    """
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def alembic_config() -> Config:
    """Where the migrations are."""
    logging.getLogger("alembic.runtime").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
