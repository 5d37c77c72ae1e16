"""Backups as they lie in their folder: a compressed file, and a manifest that makes it count.

::

    backups/quantsync-20251231T180000Z-1a2b3c.sqlite.zst        SQLite, compressed
    backups/quantsync-20251231T180000Z-1a2b3c.postgresql.dump   PostgreSQL, by pg_dump
    backups/….json                                              its manifest

The manifest is written last, after the file was restored on trial. A file without one is not a
backup; files of any other name are nobody's business here.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from market.errors import QuantsyncError
from storage.errors import CorruptFileError
from storage.files import make_folder, replace_file, unwritable
from storage.hashing import hash_file
from storage.locking import LockHeldError, locked

_FORMAT = 1
_NAME = re.compile(r"^quantsync-\d{8}T\d{6}Z-[0-9a-f]{6}\.(sqlite\.zst|postgresql\.dump)$")
_LEFTOVER = re.compile(r"^\.quantsync-\d{8}T\d{6}Z-[0-9a-f]{6}\..*\.tmp(-journal|-wal|-shm)?$")
_LOCK = ".lock"
SETTING = "BACKUP_DIR"
"""What names the folder."""


class BackupBusyError(QuantsyncError):
    """Another process is making or restoring a backup of this folder."""


class BackupError(QuantsyncError):
    """A backup could not be made, or is not what it should be."""


class BackupState(StrEnum):
    """What a backup is found to be."""

    GOOD = "good"
    DAMAGED = "damaged"
    MISSING = "missing"
    """Its manifest is there, and the file is not."""
    UNFINISHED = "unfinished"
    """The file is there, and its manifest is not: it was never proven."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup by its manifest.

    Attributes:
        file: Its name within the folder.
        made_at: The instant that it shows, ISO 8601, UTC.
        backend: ``sqlite`` or ``postgresql``.
        database: Where it was made from, without a password.
        revision: Of the tables; None: they had none.
        rows: How many rows of each table.
        size: Bytes.
        sha256: Of the file.
        lake_files: How many files the lake's manifest named.
        lake_sha256: One hash of that manifest.
    """

    file: str
    made_at: str
    backend: str
    database: str
    revision: str | None
    rows: Mapping[str, int]
    size: int
    sha256: str
    lake_files: int
    lake_sha256: str

    @property
    def instant(self) -> datetime:
        """The instant that it shows, UTC."""
        return datetime.fromisoformat(self.made_at)


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the folder and what it is.

    Attributes:
        backup: Its manifest; None if it has none.
        says: What is wrong; None if nothing.
    """

    file: str
    state: BackupState
    size: int
    backup: Backup | None
    says: str | None = None


class BackupFolder:
    """The folder of an installation's backups.

    Args:
        path: The folder; made when first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @contextmanager
    def alone(self, wait_s: float = 0.0) -> Iterator[None]:
        """Be the only one that writes here, and begin with what killed ones left removed.

        Raises:
            BackupBusyError: Another process is at it.
            UnwritableError: The folder cannot be written.
        """
        try:
            make_folder(self.path)
            with locked(self.path / _LOCK, wait_s):
                self._remove_leftovers()
                yield
        except LockHeldError as error:
            raise BackupBusyError(
                f"{self.path} is in use by {error}, which makes or restores a backup: wait for it, "
                "then run again",
                {"folder": str(self.path)},
            ) from error
        except OSError as error:
            raise unwritable(self.path, error, SETTING) from error

    def _remove_leftovers(self) -> None:
        for leftover in self.path.iterdir():
            if _LEFTOVER.match(leftover.name):
                leftover.unlink(missing_ok=True)

    def admit(self, backup: Backup) -> None:
        """Let a file count from now on: it lies here and was proven.

        Raises:
            UnwritableError: The manifest cannot be written; the file does not count.
        """
        text = json.dumps({"format": _FORMAT, **asdict(backup)}, indent=2, ensure_ascii=False)
        replace_file(
            self._manifest(backup.file),
            lambda temporary: _write_text(temporary, text + "\n"),
            setting=SETTING,
        )

    def entries(self, *, read: bool = True) -> list[Found]:
        """Every backup here, oldest first, and files that might be taken for one.

        Args:
            read: Read every file and compare its hash; otherwise its size only.
        """
        if not self.path.exists():
            return []
        named = [path.name for path in self.path.iterdir()]
        files = {name for name in named if _NAME.match(name)}
        manifests = {n.removesuffix(".json") for n in named if n.endswith(".json")}
        return [
            self._found(name, read=read)
            for name in sorted(files | {n for n in manifests if _NAME.match(n)})
        ]

    def _found(self, name: str, *, read: bool) -> Found:
        path = self.path / name
        size = path.stat().st_size if path.exists() else 0
        try:
            backup = self.manifest(path)
        except BackupError as error:
            return Found(name, BackupState.UNFINISHED, size, None, error.message)
        if not path.exists():
            said = "its manifest is there, and the file is not"
            return Found(name, BackupState.MISSING, 0, backup, said)
        try:
            check_file(path, backup, read=read)
        except CorruptFileError as error:
            return Found(name, BackupState.DAMAGED, size, backup, error.message)
        return Found(name, BackupState.GOOD, size, backup)

    def is_good(self, backup: Backup) -> bool:
        """Whether a backup is good to the last byte."""
        try:
            check_file(self.path / backup.file, backup)
        except CorruptFileError:
            return False
        return True

    def manifest(self, path: Path) -> Backup:
        """The manifest beside a file.

        Raises:
            BackupError: There is none, or it cannot be read.
        """
        beside = path.with_name(path.name + ".json")
        try:
            fields = json.loads(beside.read_text(encoding="utf-8"))
            written_in = fields.pop("format")
            if written_in > _FORMAT:
                raise BackupError(
                    f"{beside} is of a newer quantsync: upgrade, or take an older backup",
                    {"file": str(path)},
                )
            return Backup(**fields)
        except FileNotFoundError as error:
            raise BackupError(
                f"{path} has no manifest ({beside.name}): it was never proven whole, and does not "
                "count as a backup; `quantsync backups` lists those that do",
                {"file": str(path)},
            ) from error
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise BackupError(
                f"the manifest {beside} cannot be read ({error}): take another backup",
                {"file": str(path)},
            ) from error

    def remove(self, name: str) -> None:
        """Delete a backup; its manifest first, so that half of it does not count.

        Raises:
            UnwritableError: It cannot be deleted.
        """
        try:
            self._manifest(name).unlink(missing_ok=True)
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.path / name, error, SETTING) from error

    def _manifest(self, name: str) -> Path:
        return self.path / f"{name}.json"


def check_file(path: Path, backup: Backup, *, read: bool = True) -> None:
    """Make sure that a backup holds the bytes that were proven.

    Raises:
        CorruptFileError: It does not, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size == backup.size and not read:
            return
        same = size == backup.size and hash_file(path).sha256 == backup.sha256
    except OSError as error:
        raise CorruptFileError(
            f"the backup {path} cannot be read ({error.strerror}): take another one",
            {"file": str(path)},
        ) from error
    if not same:
        why = "its hash differs" if size == backup.size else f"{size:,} of {backup.size:,} bytes"
        raise CorruptFileError(
            f"the backup {path} is not the one that was made ({why}): take another one, `quantsync "
            "backups` lists them",
            {"file": str(path)},
        )


def backup_name(at: datetime, token: str, backend: str) -> str:
    """The name of a backup made at an instant."""
    ending = "sqlite.zst" if backend == "sqlite" else "postgresql.dump"
    return f"quantsync-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{token}.{ending}"


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
