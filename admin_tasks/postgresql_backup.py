"""PostgreSQL: a dump of one snapshot while writers write, and the way back."""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from admin_tasks.backup_files import SETTING
from admin_tasks.postgresql_tools import PostgresqlToolError, PostgresqlTools
from storage.contents import Contents, read_contents
from storage.database import Database
from storage.errors import CorruptFileError, StorageError
from storage.files import unwritable
from storage.hashing import Content, HashingFile

_LONGEST_NAME, _LONGEST_STAMP = 63, 16
_TRIAL = "backup_trial"
_CLOSING_S = 2.0
"""A session that was closed is listed a moment longer."""
_MAINTENANCE = ("postgres", "template1")
_ALONE = 7_215_006


def dump_postgresql(
    database: Database, to: Path, tools: PostgresqlTools
) -> tuple[Contents, Content]:
    """Write a dump of one state of a database; writers are not held up.

    Returns:
        What the dump must hold, read in the same snapshot, and the file's size and hash.

    Raises:
        PostgresqlToolError: ``pg_dump`` is missing, too old or failed.
        StorageError: The database cannot be read, or there is no room.
    """
    program = tools.find("pg_dump", database)
    with database.reading() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        # It waits for pg_dump, which may take longer than others may stand still.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        contents = read_contents(connection)
        words = ["--format=custom", "--no-password", f"--snapshot={snapshot}"]
        try:
            with HashingFile(to.open("wb")) as file:
                tools.run(program, words, database.url, file)  # type: ignore[arg-type]
                return contents, file.content
        except OSError as error:
            raise unwritable(to, error, SETTING) from error


@contextmanager
def restored_on_trial(
    backup: Path, database: Database, tools: PostgresqlTools
) -> Iterator[Contents]:
    """What a dump holds once it is restored into a database of its own, which goes again.

    Raises:
        CorruptFileError: It cannot be restored.
        PostgresqlToolError: ``pg_restore`` is missing or too old.
        StorageError: The server refuses a second database.
    """
    name = name_beside(database, _TRIAL, secrets.token_hex(6))
    try:
        yield restore_as(name, backup, database, tools)
    finally:
        drop_database(database, name)


def restore_as(name: str, backup: Path, database: Database, tools: PostgresqlTools) -> Contents:
    """Restore a dump as a new database of a server; what it holds.

    Args:
        name: Of the new database.
        backup: The dump.
        database: Any database of the server, of the same user.
        tools: PostgreSQL's programs.

    Raises:
        CorruptFileError: It cannot be restored; the new database is gone again.
        PostgresqlToolError: ``pg_restore`` is missing or too old.
        StorageError: The server refuses the new database.
    """
    with _always_there(database) as other:
        program = tools.find("pg_restore", other)
    with _maintenance(database) as connection:
        alike = _like(connection, str(database.url.database))
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0{alike}'))
    url = database.url.set(database=name)
    try:
        words = ["--exit-on-error", "--no-owner", "--no-privileges", "--no-password", str(backup)]
        tools.run(program, words, url)
        restored = Database(url.render_as_string(hide_password=False))
        try:
            with restored.reading() as connection:
                return read_contents(connection)
        finally:
            restored.dispose()
    except PostgresqlToolError as error:
        drop_database(database, name)
        raise CorruptFileError(
            f"the backup {backup} cannot be restored: {error.message}", {"file": str(backup)}
        ) from error
    except BaseException:
        drop_database(database, name)
        raise


def swap_databases(database: Database, restored: str, replaced: str) -> bool:
    """Let a restored database take the place of another one, which stays under a new name.

    Returns:
        Whether there was one to replace.

    Raises:
        StorageError: Somebody is connected to it, or may not rename it; both stay as they are.
    """
    name = str(database.url.database)
    with _maintenance(database, transaction=True) as connection:
        known = text("SELECT 1 FROM pg_database WHERE datname = :name")
        there = connection.scalar(known, {"name": name}) is not None
        if there:
            connection.execute(text(f'ALTER DATABASE "{name}" RENAME TO "{replaced}"'))
        connection.execute(text(f'ALTER DATABASE "{restored}" RENAME TO "{name}"'))
    return there


def sessions_of(database: Database) -> list[str]:
    """Who is connected to a database, a few words each.

    Raises:
        StorageError: The server does not answer.
    """
    query = text(
        "SELECT pid, usename, coalesce(client_addr::text, 'this machine') AS place, "
        "application_name FROM pg_stat_activity WHERE datname = :name ORDER BY pid"
    )
    deadline = time.monotonic() + _CLOSING_S
    with _maintenance(database) as connection:
        while True:
            rows = connection.execute(query, {"name": str(database.url.database)}).all()
            if not rows or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    return [
        f"session {row.pid} of {row.usename} from {row.place} {row.application_name}".strip()
        for row in rows
    ]


def drop_database(database: Database, name: str) -> None:
    """Drop a database that this module has made. Idempotent.

    Raises:
        StorageError: The server does not answer, or refuses.
    """
    with _maintenance(database) as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


def drop_abandoned_trials(database: Database) -> None:
    """Drop the trial databases that killed processes left; only while no other backup is made.

    Raises:
        StorageError: The server does not answer, or refuses.
    """
    ours = re.compile(re.escape(name_beside(database, _TRIAL, "")) + r"[0-9a-f]{12}")
    with _maintenance(database) as connection:
        for name in connection.scalars(text("SELECT datname FROM pg_database")).all():
            if ours.fullmatch(name):
                connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@contextmanager
def alone_on_server(database: Database) -> Iterator[bool]:
    """Whether nobody else backs this database up, also on other hosts; held for the block."""
    with database.reading() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield bool(connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({_ALONE})")))


def name_beside(database: Database, word: str, stamp: str) -> str:
    """A name for a database that belongs to another one, no longer than the server allows."""
    room = _LONGEST_NAME - len(word) - _LONGEST_STAMP - 2
    return f"{str(database.url.database)[:room]}_{word}_{stamp}"


def _like(connection: Connection, name: str) -> str:
    """How to make a database with the encoding and the locale of one, if that is there."""
    # As JSON: the columns of the locale have other names in other versions of the server.
    query = text(
        "SELECT to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(d.encoding)) "
        "FROM pg_database d WHERE datname = :name"
    )
    known = connection.scalar(query, {"name": name})
    if known is None:
        return ""
    said = {
        "ENCODING": known["encoding"],
        "LC_COLLATE": known.get("datcollate"),
        "LC_CTYPE": known.get("datctype"),
    }
    if known.get("datlocprovider") == "i":
        said["LOCALE_PROVIDER"] = "icu"
        said["ICU_LOCALE"] = known.get("datlocale") or known.get("daticulocale")
    return "".join(f" {word} '{value}'" for word, value in said.items() if value)


@contextmanager
def _always_there(database: Database) -> Iterator[Database]:
    """A database of the server that is there even if the one in question is not."""
    for name in _MAINTENANCE:
        url = database.url.set(database=name)
        other = Database(url.render_as_string(hide_password=False))
        try:
            with other.reading() as connection:
                connection.execute(text("SELECT 1"))
        except StorageError:
            other.dispose()
            if name == _MAINTENANCE[-1]:
                raise
        else:
            break
    try:
        yield other
    finally:
        other.dispose()


@contextmanager
def _maintenance(database: Database, *, transaction: bool = False) -> Iterator[Connection]:
    """A connection for what is done to databases as a whole.

    Raises:
        StorageError: The server does not answer, or refuses what is asked.
    """
    level = "READ COMMITTED" if transaction else "AUTOCOMMIT"
    try:
        with _always_there(database) as other:
            engine = other.engine.execution_options(isolation_level=level)
            with engine.begin() as connection:
                yield connection
    except DBAPIError as error:
        raise StorageError(
            f"the server of {database.address} refuses ({_words(error)}): a backup is proven, and "
            "restored, in a database beside the old one; let the user create databases (ALTER ROLE "
            "… CREATEDB) and own this one, and let nobody be connected to it",
            {"database": database.address},
        ) from error


def _words(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]
