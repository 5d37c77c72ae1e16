"""Backups: made of one state, proven by restoring them, and rotated."""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from admin_tasks.backup_files import (
    SETTING,
    Backup,
    BackupBusyError,
    BackupError,
    BackupFolder,
    BackupState,
    backup_name,
)
from admin_tasks.postgresql_backup import (
    alone_on_server,
    drop_abandoned_trials,
    dump_postgresql,
    restored_on_trial,
)
from admin_tasks.postgresql_tools import PostgresqlTools
from admin_tasks.rotation import Keep, kept, loss
from admin_tasks.sqlite_backup import dump_sqlite, unpack_sqlite
from storage.contents import Contents, difference
from storage.database import Database
from storage.errors import CorruptFileError
from storage.files import sync_file, sync_folder, unwritable
from storage.hashing import Content

log = logging.getLogger(__name__)

_UNTOUCHED = timedelta(hours=24)
"""No backup is removed so soon: it may be the way back from what was done just now."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup brought.

    Attributes:
        backup: The new one.
        removed: Older ones that made way.
        notices: Why older ones did not, in sentences.
    """

    backup: Backup
    removed: tuple[str, ...]
    notices: tuple[str, ...] = ()


class Backups:
    """Backups of a database in a folder.

    Args:
        database: What is backed up.
        folder: Where backups lie.
        keep: How many stay.
        tools: PostgreSQL's programs.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        keep: Keep | None = None,
        tools: PostgresqlTools | None = None,
    ) -> None:
        self.database = database
        self.folder = BackupFolder(folder)
        self._keep, self._tools = keep or Keep(), tools or PostgresqlTools()

    def make(self) -> Made:
        """Back the database up, prove the backup, let it count, and let old ones go.

        Writers are not held up. Whatever ends this early leaves nothing that counts.

        Raises:
            BackupBusyError: Another process is at it.
            BackupError: What was restored on trial is not what was there.
            PostgresqlToolError: A program of PostgreSQL is missing, too old or failed.
            StorageError: The database cannot be read, or the folder not written.
        """
        with self.folder.alone():
            if self.database.is_sqlite:
                return self._make()
            with alone_on_server(self.database) as alone:
                if not alone:
                    raise BackupBusyError(
                        f"{self.database.address} is being backed up by another host: wait for "
                        "it, then run again",
                        {"database": self.database.address},
                    )
                drop_abandoned_trials(self.database)
                return self._make()

    def _make(self) -> Made:
        made_at, backend = datetime.now(UTC), self.database.url.get_backend_name()
        name = backup_name(made_at, secrets.token_hex(3), backend)
        path = self.folder.path / name
        temporary = path.with_name(f".{name}.tmp")
        try:
            contents, content = self._dump(temporary)
            sync_file(temporary)
            self._prove(temporary, contents)
            temporary.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise unwritable(path, error, SETTING) from error
        finally:
            temporary.unlink(missing_ok=True)
        backup = Backup(
            file=name,
            made_at=made_at.isoformat(),
            backend=backend,
            database=self.database.address,
            revision=contents.revision,
            rows=contents.rows,
            size=content.size,
            sha256=content.sha256,
            lake_files=contents.lake_files,
            lake_sha256=contents.lake_sha256,
        )
        try:
            self.folder.admit(backup)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        removed, notices = self._rotate()
        return Made(backup, tuple(removed), tuple(notices))

    def _dump(self, temporary: Path) -> tuple[Contents, Content]:
        if self.database.is_sqlite:
            return dump_sqlite(self.database, temporary)
        return dump_postgresql(self.database, temporary, self._tools)

    def _prove(self, temporary: Path, contents: Contents) -> None:
        """Restore a backup on trial and count its rows."""
        try:
            if self.database.is_sqlite:
                scratch = temporary.with_name(f"{temporary.name}-trial.tmp")
                try:
                    wrong = difference(contents, unpack_sqlite(temporary, scratch))
                finally:
                    scratch.unlink(missing_ok=True)
            else:
                with restored_on_trial(temporary, self.database, self._tools) as found:
                    wrong = difference(contents, found)
        except CorruptFileError as error:
            wrong = error.message
        if wrong is not None:
            raise BackupError(
                f"the backup of {self.database.address} does not restore to what was there "
                f"({wrong}): it was thrown away; run again, and look at the disk if it stays so",
                {"database": self.database.address},
            )

    def rotate(self) -> list[str]:
        """Let the backups go that no rule keeps; their names.

        Raises:
            BackupBusyError: Another process is at it.
            UnwritableError: One cannot be deleted.
        """
        with self.folder.alone():
            return self._rotate()[0]

    def _rotate(self) -> tuple[list[str], list[str]]:
        """Remove what no rule keeps; the names of those, and why others stay that would have gone.

        What goes has a newer one that stays, was read and is good, and holds about as much.
        """
        proven = [(each.backup, each) for each in self.folder.entries(read=False) if each.backup]
        # A file that is gone or cut must not hold the place of its day.
        whole = sorted(
            (backup for backup, each in proven if each.state is BackupState.GOOD),
            key=lambda backup: backup.instant,
            reverse=True,
        )
        good = cache(lambda number: self.folder.is_good(whole[number]))
        rows = {backup.instant: backup.rows for backup in whole}
        stay = kept(rows, self._keep, lambda newer, older: loss(rows[newer], rows[older]) is None)
        young = datetime.now(UTC) - _UNTOUCHED
        stay |= {backup.instant for backup, _ in proven if backup.instant > young}
        for place, backup in enumerate(whole):
            newer = (number for number in range(place) if whole[number].instant in stay)
            if not any(
                loss(whole[number].rows, backup.rows) is None and good(number) for number in newer
            ):
                stay.add(backup.instant)
        if not any(good(number) for number in range(len(whole))):
            log.warning("no backup in %s is good: none is removed", self.folder.path)
            return [], []
        newest = whole[0].instant
        gone = [
            backup.file
            for backup, _ in proven
            if backup.instant not in stay and backup.instant < newest
        ]
        for name in gone:
            self.folder.remove(name)
        return gone, self._notices([backup for backup in whole if backup.file not in gone])

    def _notices(self, whole: Sequence[Backup]) -> list[str]:
        """What to know of a backup that holds far less than one before it.

        Args:
            whole: Those that are left, newest first.
        """
        newest, plain = whole[0], kept([each.instant for each in whole], self._keep)
        for number, older in enumerate(whole[1:]):
            # Those before the last one speak up only where the rules alone would have removed them.
            if number and older.instant in plain:
                continue
            table = loss(newest.rows, older.rows)
            if table is None:
                continue
            held, holds = older.rows[table], newest.rows.get(table, 0)
            said = (
                f"{newest.file} holds far less than {older.file}, made before it (rows of "
                f"{table}: {holds:,} where there were {held:,}): the fuller one is kept. If they "
                f"are lost, `quantsync restore {older.file}` brings them back; if they were meant "
                "to go, delete that file and its .json when you need it no more"
            )
            return [said]
        return []
