"""SQLite: a consistent copy while writers write, and the way back."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from admin_tasks.backup_files import SETTING
from storage.contents import Contents, read_contents
from storage.database import Database
from storage.errors import CorruptFileError
from storage.files import unwritable
from storage.hashing import Content, HashingFile

_PORTION = 4 << 20


def dump_sqlite(database: Database, to: Path) -> tuple[Contents, Content]:
    """Write a database's compressed copy, all of one transaction; writers are not held up.

    Args:
        database: What is copied.
        to: The file; the plain copy lies beside it meanwhile.

    Returns:
        What the copy must hold, read in the same transaction, and the file's size and hash.

    Raises:
        StorageError: The database cannot be read, or there is no room.
    """
    plain = to.with_name(f"{to.name}-copy.tmp")
    try:
        contents = _copy(database, plain)
        return contents, _compress(plain, to)
    except (OSError, pa.ArrowException) as error:
        raise unwritable(to, error, SETTING) from error
    finally:
        plain.unlink(missing_ok=True)


def _copy(database: Database, plain: Path) -> Contents:
    # One step: a copy in portions begins anew whenever another process writes.
    with database.reading() as connection:
        connection.begin()
        contents = read_contents(connection)  # from now on the connection sees one state
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)
        try:
            copy = sqlite3.connect(plain, isolation_level=None)
            try:
                copy.execute("PRAGMA synchronous = OFF")  # it lives for a minute
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
            finally:
                copy.close()
        except sqlite3.Error as error:
            if "full" in str(error) or "I/O" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
    return contents


def _compress(plain: Path, to: Path) -> Content:
    with plain.open("rb") as source, HashingFile(to.open("wb")) as file:
        with pa.CompressedOutputStream(file, "zstd") as compressed:
            while portion := source.read(_PORTION):
                compressed.write(portion)
        return file.content


def unpack_sqlite(backup: Path, to: Path) -> Contents:
    """Write the database that a backup holds, and look through all of it.

    Args:
        backup: The compressed copy.
        to: The database file; it is there only if this returns.

    Returns:
        What it holds.

    Raises:
        CorruptFileError: It is no whole database.
        UnwritableError: There is no room.
    """
    try:
        source = backup.open("rb")
    except OSError as error:
        raise _not_whole(backup, error.strerror) from error
    try:
        with source, to.open("wb") as file:
            for portion in _unpacked(backup, source):
                file.write(portion)
            file.flush()
            os.fsync(file.fileno())
        return _examined(backup, to)
    except OSError as error:
        to.unlink(missing_ok=True)
        raise unwritable(to, error) from error
    except BaseException:
        to.unlink(missing_ok=True)
        raise


def _unpacked(backup: Path, source: BinaryIO) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(source, "zstd")
    while True:
        try:
            portion = stream.read(_PORTION)
        except (OSError, pa.ArrowException) as error:
            raise _not_whole(backup, str(error).splitlines()[0]) from error
        if not portion:
            return
        yield portion


def _examined(backup: Path, database: Path) -> Contents:
    """What an unpacked database holds, once every page of it was looked at."""

    def connect() -> sqlite3.Connection:
        # Nobody else knows of it: without locks nothing is left beside it.
        address = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(address, uri=True)

    engine = create_engine("sqlite://", creator=connect)
    try:
        with engine.connect() as connection:
            said = connection.scalars(text("PRAGMA integrity_check")).all()
            if list(said) != ["ok"]:
                raise _not_whole(backup, f"integrity_check: {said[0]}")
            return read_contents(connection)
    except DatabaseError as error:
        raise _not_whole(backup, str(error.orig)) from error
    finally:
        engine.dispose()


def _not_whole(backup: Path, why: str | None) -> CorruptFileError:
    return CorruptFileError(
        f"the backup {backup} holds no whole SQLite database ({why}): take another one, `quantsync "
        "backups` lists them",
        {"file": str(backup)},
    )
