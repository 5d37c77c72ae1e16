"""A database of the version before keeps its revisions, each of them once."""

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

from storage.database import Database, newest_revision
from storage.tables import kline_revision
from storage.upgrading import alembic_config


def test_revisions_of_an_older_database_are_kept_once(database: Database) -> None:
    """One that was written twice is one; another fetch of the same bar is another."""
    config = alembic_config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    values = "'kline', 'daily', 1, 0, 1, 1, 1, 100, 100, 'final', 'test'"
    with database.writing() as connection:
        for fetched_at in (1, 1, 2):
            connection.execute(
                text(
                    "INSERT INTO kline_revision (dataset, period, subject_id, end_at, high, low, "
                    "close, volume, amount, state, source, fetched_at, revised_at) "
                    f"VALUES ({values}, {fetched_at}, 3)"
                )
            )

    database.migrate()

    with database.reading() as connection:
        kept = select(kline_revision.c.fetched_at).order_by(kline_revision.c.fetched_at)
        assert list(connection.scalars(kept)) == [1, 2]


def test_files_of_migrations_are_named_by_their_revision() -> None:
    """The newest is read off their names, without Alembic."""
    scripts = ScriptDirectory.from_config(alembic_config())

    assert scripts.get_current_head() == newest_revision()
