"""Restoring a backup: beside the database first, in its place when it is proven.

The database that was there is kept. Whatever ends this early leaves it in its place.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import inspect

from admin_tasks.backup_files import Backup, BackupError, BackupFolder, check_file
from admin_tasks.postgresql_backup import (
    drop_database,
    name_beside,
    restore_as,
    sessions_of,
    swap_databases,
)
from admin_tasks.postgresql_tools import PostgresqlTools
from admin_tasks.sqlite_backup import unpack_sqlite
from market.errors import QuantsyncError, UsageError
from storage.contents import Contents, difference
from storage.database import Database
from storage.errors import StorageError
from storage.files import make_folder, sync_folder, unwritable
from storage.ledger_tables import sync_run
from storage.locking import LockHeldError, locked
from storage.open_files import openers
from storage.recovery import Recovery
from storage.schema_revisions import known_revisions

_SQLITE = b"SQLite format 3\0"


class DatabaseInUseError(QuantsyncError):
    """Somebody works with the database that is to be replaced."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought.

    Attributes:
        backup: What was restored.
        database: Where it is now, without a password.
        replaced: Where the database that was there is kept; None: there was none.
    """

    backup: Backup
    database: str
    replaced: str | None


class Restore:
    """A backup and the database that it is to become.

    Args:
        file: The backup; its manifest lies beside it.
        database: The database; not brought up to date, and not in use by this process.
        tools: PostgreSQL's programs.

    Raises:
        BackupError: The file has no manifest.
        CorruptFileError: It is not the one that was made.
        UsageError: It is of the other kind of database, or of a newer version of the tables.
    """

    def __init__(
        self, file: Path, database: Database, tools: PostgresqlTools | None = None
    ) -> None:
        self._file, self._database = Path(file), database
        self._tools = tools or PostgresqlTools()
        self.backup = BackupFolder(self._file.parent).manifest(self._file)
        backend = database.url.get_backend_name()
        if self.backup.backend != backend:
            raise UsageError(
                f"{self._file} is of {self.backup.backend}, and {database.address} is of {backend}:"
                " name a database of the same kind with --to",
                {"file": str(self._file)},
            )
        revision = self.backup.revision
        if revision is not None and revision not in known_revisions():
            raise UsageError(
                f"{self._file} is of revision {revision} of the tables, which this version does "
                "not know: a newer quantsync has made it; upgrade first",
                {"file": str(self._file), "revision": revision},
            )
        check_file(self._file, self.backup)

    def check_idle(self) -> None:
        """Make sure that nobody works with the database that is to be replaced.

        Raises:
            DatabaseInUseError: A run is under way, or a process has it open.
        """
        busy = self._openers()
        if not busy and (running := self._running()):
            busy = [f"run {running[0]} is under way"]
        if busy:
            raise DatabaseInUseError(
                f"{self._database.address} is in use ({'; '.join(busy[:3])}): stop workers, beat "
                "and commands first, and finish runs under way with `quantsync repair`, or give "
                "them up with `quantsync repair RUN_ID --abandon`",
                {"database": self._database.address, "users": busy},
            )

    def _openers(self) -> list[str]:
        if not self._database.is_sqlite:
            return sessions_of(self._database)
        path = self._database.path
        return [
            f"process {each.pid} ({each.command}) has it open"
            for each in openers([path, *_beside(path)])
        ]

    def _running(self) -> list[str]:
        """Runs that have not ended; none of a database that is lost or cannot be read."""
        if self._database.is_sqlite and not _is_sqlite(self._database.path):
            return []
        try:
            with self._database.reading() as connection:
                if not inspect(connection).has_table(sync_run.name):
                    return []
            return Recovery(self._database).running()
        except StorageError:
            return []  # a reason to restore, and not against it
        finally:
            self._database.dispose()

    def run(self) -> Restored:
        """Put the backup in the database's place.

        Raises:
            BackupError: It restores to other contents than its manifest says.
            CorruptFileError: It cannot be restored.
            DatabaseInUseError: Somebody works with the database.
            PostgresqlToolError: ``pg_restore`` is missing, too old or failed.
            StorageError: There is no room, or the server refuses.
        """
        self.check_idle()
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        place = self._sqlite if self._database.is_sqlite else self._postgresql
        return Restored(self.backup, self._database.address, place(stamp))

    def _sqlite(self, stamp: str) -> str | None:
        path = self._database.path
        unpacked = path.with_name(f".{path.name}.{stamp}.tmp")
        try:
            make_folder(path.parent)
            with _migration_lock(path):
                self._compare(unpack_sqlite(self._file, unpacked))
                self.check_idle()  # unpacking took its time
                kept = None
                if path.exists():
                    kept = path.with_name(f"{path.name}.replaced-{stamp}")
                    _set_journal_aside(path, kept)
                    os.link(path, kept)
                unpacked.replace(path)
                sync_folder(path.parent)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            unpacked.unlink(missing_ok=True)
        return None if kept is None else str(kept)

    def _postgresql(self, stamp: str) -> str | None:
        database = self._database
        restored = name_beside(database, "restored", stamp)
        replaced = name_beside(database, "replaced", stamp)
        self._compare(restore_as(restored, self._file, database, self._tools), restored)
        try:
            self.check_idle()
            there = swap_databases(database, restored, replaced)
        except BaseException:
            drop_database(database, restored)
            raise
        return replaced if there else None

    def _compare(self, found: Contents, restored: str | None = None) -> None:
        backup = self.backup
        expected = Contents(
            backup.revision, dict(backup.rows), backup.lake_files, backup.lake_sha256
        )
        wrong = difference(expected, found)
        if wrong is None:
            return
        if restored is not None:
            drop_database(self._database, restored)
        raise BackupError(
            f"{self._file} restores to {wrong}, which is not what its manifest says: take another "
            "backup, `quantsync backups` lists them",
            {"file": str(self._file)},
        )


@contextmanager
def _migration_lock(path: Path) -> Iterator[None]:
    """Keep other processes from bringing the file up to date meanwhile."""
    try:
        with locked(path.with_name(path.name + ".migrate.lock"), 0.0):
            yield
    except LockHeldError as error:
        raise DatabaseInUseError(
            f"{path} is being brought up to date by {error}: wait for it, then run again",
            {"database": str(path)},
        ) from error


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]


def _set_journal_aside(path: Path, kept: Path) -> None:
    """Let a database be one file, or its journal go with it: the next must not meet it.

    Raises:
        DatabaseInUseError: Somebody whose open files cannot be seen works with it.
    """
    if _is_sqlite(path) and _leave_journal(path) == "wal":
        raise DatabaseInUseError(
            f"{path} is in use by a process of another user: stop workers, beat and commands first",
            {"database": str(path)},
        )
    for file in _beside(path):
        if file.exists():
            file.rename(kept.with_name(kept.name + file.name.removeprefix(path.name)))


def _leave_journal(path: Path) -> str | None:
    """Bring all that the journal holds into the file; the mode it is in then, None if unknown."""
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            return str(connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        # What is damaged is kept as it is, journal and all.
        return "wal" if "locked" in str(error) else None


def _is_sqlite(path: Path) -> bool:
    """Whether a file begins as a SQLite database does; SQLite drops the journal of any other."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False
