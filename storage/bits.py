"""Whether the lake's files hold the bytes that were written; mending those that do not.

A file whose bytes changed though its time did not is rotten: no writer does that. One whose time
changed without an entry was written by a process that died before it could enter it, or by another
hand: it is held against SQL, entered if it holds the same bars, and never called rotten. One that
lies where nothing of the lake ever does is a stray, whatever it holds, and is never entered.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from market.bars import Dataset
from market.periods import Period
from storage.database import Database
from storage.errors import CorruptFileError, UnwritableError
from storage.ex_right import EX_RIGHT_FILE, ExRights, read_lake_ex_rights
from storage.files import move_file
from storage.hashing import Content, hash_file
from storage.lake import Lake, Partition
from storage.lake_manifest import Entry, LakeManifest
from storage.repair import repair_partition
from storage.snapshots import is_sweep
from storage.tables import KLINE_TABLES
from storage.verification import check_partition, partition_window
from storage.warehouse import Warehouse

_LOOKS = 5
"""How often a file is looked at that is rewritten at this moment."""
_FRESH_S, _PAUSE_S = 30.0, 0.1


class FileState(StrEnum):
    """What a file of the lake is found to be."""

    SOUND = "sound"
    ENTERED = "entered"
    """It was not in the manifest as it is, holds what it should, and is entered now."""
    ROTTEN = "rotten"
    DIFFERS = "differs"
    """It was changed without an entry, and holds other bars than SQL."""
    STRAY = "stray"
    """It lies where the lake never writes: another hand has put it there."""
    GONE = "gone"
    BUSY = "busy"
    """It was rewritten whenever it was looked at."""

    @property
    def is_good(self) -> bool:
        """Whether nothing need be done."""
        return self in (FileState.SOUND, FileState.ENTERED, FileState.BUSY)


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One file of the lake.

    Attributes:
        path: Below the lake, by ``/``.
        size: Bytes; 0 if it is gone.
        says: What is wrong, or was noted; None if it is as it was written.
        remedy: What to do; None if nothing.
    """

    path: str
    state: FileState
    size: int
    says: str | None = None
    remedy: str | None = None


class BitCheck:
    """Holds the lake's files against its manifest.

    Args:
        lake: The files.
        database: The same bars in SQL.
        manifest: What was written.
        minutes_from: SQL keeps minute bars from this session on; None: all.
    """

    def __init__(
        self,
        lake: Lake,
        database: Database,
        manifest: LakeManifest,
        *,
        minutes_from: date | None = None,
    ) -> None:
        self._lake, self._database, self._manifest = lake, database, manifest
        self._warehouse, self._minutes_from = Warehouse(database), minutes_from

    def check(self) -> list[FileCheck]:
        """Read every file, and those that are entered and gone; by path.

        Raises:
            StorageError: The database cannot be read.
        """
        paths = set(self._files())
        found = [self._checked(self._lake.root / name) for name in sorted(paths)]
        # Read last: what is written meanwhile is in its place before it is entered.
        for entry in self._manifest.entries():
            path = self._lake.root / entry.path
            if entry.path not in paths and not path.exists():
                if not is_place(entry.path):
                    # A stray that an older version has entered was moved away.
                    with suppress(UnwritableError):
                        self._manifest.forget(path)
                    continue
                remedy = "`quantsync verify --repair` rebuilds it from SQL"
                said = "it was written once, and is gone"
                found.append(FileCheck(entry.path, FileState.GONE, 0, said, remedy))
        return sorted(found, key=lambda check: check.path)

    def _files(self) -> Iterator[str]:
        for path in self._lake.root.rglob("*.parquet"):
            name = path.relative_to(self._lake.root)
            if not any(part.startswith(".") for part in name.parts):
                yield name.as_posix()

    def _checked(self, path: Path) -> FileCheck:
        name = path.relative_to(self._lake.root).as_posix()
        if not is_place(name):
            return _stray(path, name)
        for look in range(1, _LOOKS + 1):
            try:
                entry, before = self._manifest.entry(path), path.stat()
                content = hash_file(path)
                after = path.stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                said = f"it cannot be read: {error.strerror}"
                return FileCheck(name, FileState.ROTTEN, 0, said, _remedy(name))
            if (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
                continue
            if entry is not None and entry.content == content:
                return self._sound(path, entry, after.st_mtime_ns)
            if entry != self._manifest.entry(path):
                continue
            if entry is not None and entry.modified_ns == after.st_mtime_ns:
                said = (
                    f"its bytes changed though nobody rewrote it: {_short(entry.content)} was "
                    f"written, {_short(content)} is there"
                )
                return FileCheck(name, FileState.ROTTEN, content.size, said, _remedy(name))
            if look < _LOOKS and time.time() - after.st_mtime < _FRESH_S:
                time.sleep(_PAUSE_S)  # whoever has just written it is about to enter it
                continue
            return self._compared(path, entry, content)
        return FileCheck(name, FileState.BUSY, 0, "it is being rewritten: look again")

    def _sound(self, path: Path, entry: Entry, modified_ns: int) -> FileCheck:
        if entry.modified_ns != modified_ns:
            # Copied or touched; with its old time in the entry rot would pass for a rewrite.
            self._enter(path, entry.content, entry)
        return FileCheck(entry.path, FileState.SOUND, entry.content.size)

    def _compared(self, path: Path, entry: Entry | None, content: Content) -> FileCheck:
        """Judge a file that no entry describes by what it says."""
        name = path.relative_to(self._lake.root).as_posix()
        why = "not in the manifest" if entry is None else "rewritten without an entry"
        partition = partition_of(name)
        try:
            problem = self._problem(name, partition)
        except CorruptFileError as error:
            return FileCheck(name, FileState.ROTTEN, content.size, error.message, _remedy(name))
        if problem is not None:
            said = f"{why}, and it differs from SQL: {problem}"
            remedy = "`quantsync verify --repair` makes them the same"
            return FileCheck(name, FileState.DIFFERS, content.size, said, remedy)
        against = "it holds the bars that SQL holds"
        if partition is None or self._has_left_sql(partition):
            against = "it is readable, and there is nothing to compare it with"
        entered = self._enter(path, content, entry)
        said = f"{why}: {against}, and is {'entered now' if entered else 'not entered'}"
        return FileCheck(name, FileState.ENTERED, content.size, said)

    def _problem(self, name: str, partition: Partition | None) -> str | None:
        """What differs from SQL, in a sentence.

        Raises:
            CorruptFileError: It is no readable Parquet file.
        """
        if partition is None:
            if name == EX_RIGHT_FILE.as_posix():
                read_lake_ex_rights(self._lake.root)
            return None
        self._lake.read_partition(partition)
        if self._has_left_sql(partition):
            return None
        return check_partition(self._lake, self._warehouse, partition).problem

    def _has_left_sql(self, partition: Partition) -> bool:
        before = self._minutes_from
        old = before is not None and partition_window(partition).end < before
        return old and partition.period.is_intraday

    def _enter(self, path: Path, content: Content, entry: Entry | None) -> bool:
        try:
            return self._manifest.record(path, content, instead_of=entry)
        except UnwritableError:
            return False  # a home that can only be read is verified all the same

    def repair(self, check: FileCheck) -> str:
        """Put a rotten or missing file right; what was done, in a sentence. Idempotent.

        The rotten file is kept beside its place under a name that no reader takes for data.

        Raises:
            StorageError: A store cannot be used; repairing again goes on where this stopped.
        """
        path, partition = self._lake.root / check.path, partition_of(check.path)
        if partition is not None:
            return self._repair_partition(partition)
        if path.exists():
            move_file(path, path.with_name(f".{path.name}.corrupt"))
        self._manifest.forget(path)
        if check.path != EX_RIGHT_FILE.as_posix():
            return "the sweep was set aside: the official bars do not need it"
        ExRights(self._database, self._lake.root).export()
        return "written anew from the database"

    def _repair_partition(self, partition: Partition) -> str:
        dataset, period = partition.dataset, partition.period
        readable = None
        if self._has_left_sql(partition) and (self._lake.root / partition.path).exists():
            try:
                # Every page has a checksum of its own: what can be read is what was written.
                readable = self._lake.read_partition(partition)
            except CorruptFileError:
                readable = None
        kept = self._lake.set_aside_if_corrupt(partition, known=True)
        if readable is not None:
            self._lake.write(dataset, period, readable)
            return f"written anew from its own pages, all of which are sound; {_kept(kept)}"
        if kept is None:
            self._manifest.forget(self._lake.root / partition.path)
        compared = check_partition(self._lake, self._warehouse, partition)
        repair = repair_partition(self._lake, self._warehouse, self._database, compared)
        said = f"{repair.into_lake:,} bars written anew from SQL; {_kept(kept)}"
        if repair.sessions:
            said += (
                f"; {len(repair.sessions)} sessions of {repair.series} series are in neither store "
                "and count as missing: the next sync fetches what the upstream still serves"
            )
        return said


def partition_of(name: str) -> Partition | None:
    """The partition that a path below the lake is the file of; None if it is of no kline."""
    parts = Path(name).parts
    try:
        dataset, period = Dataset(parts[0]), Period(parts[1].removeprefix("period="))
        partition = Partition(dataset, period, parts[2].partition("=")[2])
    except (IndexError, ValueError):
        return None
    return partition if partition.path.as_posix() == name else None


def is_place(name: str) -> bool:
    """Whether a path below the lake is one that the lake writes."""
    partition = partition_of(name)
    if partition is None:
        return name == EX_RIGHT_FILE.as_posix() or is_sweep(name)
    form = "%Y-%m-%d" if partition.period.is_intraday else "%Y"
    try:
        named = datetime.strptime(partition.name, form)  # noqa: DTZ007  (a day, not an instant)
    except ValueError:
        return False
    is_kept = (partition.dataset, partition.period) in KLINE_TABLES
    return is_kept and f"{named:{form}}" == partition.name


def _stray(path: Path, name: str) -> FileCheck:
    said = "the lake never writes a file here: another hand has put it there"
    remedy = (
        "move it out of the lake: programs that read the whole folder would read its rows too, and "
        "bars that it shares with other files twice"
    )
    try:
        size = path.lstat().st_size
    except FileNotFoundError:
        size = 0
    return FileCheck(name, FileState.STRAY, size, said, remedy)


def _remedy(name: str) -> str:
    if partition_of(name) is not None:
        return (
            "`quantsync verify --bits --repair` sets it aside and writes it anew from SQL; what "
            "SQL no longer holds comes from a copy of the lake, or from the next sync"
        )
    return "`quantsync verify --bits --repair` sets it aside"


def _short(content: Content) -> str:
    return f"{content.sha256[:12]} ({content.size:,} bytes)"


def _kept(kept: Path | None) -> str:
    return f"the rotten file is kept as {kept}" if kept else "there was no file"
