"""The lake's manifest: what every file was when it was written, so that rot can be told from work.

An entry is written after its file is in its place, under the same lock. A crash in between leaves a
file that is newer than its entry: such a file is not rotten, it has to be compared with SQL and
entered. Rot changes bytes and leaves the file's time as it was, which no writer does.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, or_, select

from market.bars import Dataset
from storage.catalog_rows import upsert
from storage.database import Database
from storage.hashing import Content, hash_file
from storage.manifest_tables import lake_file


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was written.

    Attributes:
        path: Below the lake, by ``/``.
        content: Its size and hash.
        modified_ns: The file's own time, nanoseconds since the epoch.
    """

    path: str
    content: Content
    modified_ns: int


class LakeManifest:
    """Entries of the lake's files in SQL. Every method is one transaction; safe to share.

    Args:
        database: Gives the database where it is first needed.
        root: The lake's folder.
    """

    def __init__(self, database: Callable[[], Database], root: Path) -> None:
        self._database = database
        self.root = Path(root)

    def record(self, path: Path, content: Content, *, instead_of: Entry | None = None) -> bool:
        """Enter a file that lies in its place. Idempotent.

        Args:
            path: The file.
            content: What was written.
            instead_of: Enter it only if this is still the entry; None: in any case.

        Returns:
            Whether it was entered.

        Raises:
            StorageError: The database cannot be used; the file is newer than its entry then.
        """
        row = {
            "path": self._name(path),
            "size": content.size,
            "sha256": content.sha256,
            "modified_ns": path.stat().st_mtime_ns,
        }
        database = self._database()
        with database.writing() as connection:
            if instead_of is not None and _read(connection, row["path"]) != instead_of:
                return False
            row["written_at"] = database.now(connection)
            upsert(connection, lake_file, lake_file.c.path, [row])
        return True

    def record_if_unknown(self, path: Path) -> None:
        """Enter a file that was found to hold what it should, if no entry is of its time and size.

        Raises:
            StorageError: The database cannot be used.
        """
        known, status = self.entry(path), path.stat()
        if known is None or (known.modified_ns, known.content.size) != (
            status.st_mtime_ns,
            status.st_size,
        ):
            self.record(path, hash_file(path))

    def entry(self, path: Path) -> Entry | None:
        """The entry of a file; None if there is none.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database().reading() as connection:
            return _read(connection, self._name(path))

    def entries(self) -> list[Entry]:
        """All entries, by path.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database().reading() as connection:
            return list(_entries(connection))

    def has_bars(self) -> bool:
        """Whether any file of bars was entered, wherever it is now.

        Raises:
            StorageError: The database cannot be used.
        """
        below = [lake_file.c.path.startswith(f"{each}/", autoescape=True) for each in Dataset]
        with self._database().reading() as connection:
            found = connection.scalar(select(lake_file.c.path).where(or_(*below)).limit(1))
        return found is not None

    def forget(self, path: Path) -> None:
        """Drop the entry of a file that is no longer in its place. Idempotent.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database().writing() as connection:
            connection.execute(delete(lake_file).where(lake_file.c.path == self._name(path)))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def manifest_digest(connection: Connection) -> tuple[int, str]:
    """How many files are entered, and one hash of all their paths, sizes and hashes."""
    digest, count = hashlib.sha256(), 0
    # Sorted here: databases sort by their own locales.
    for entry in sorted(_entries(connection), key=lambda each: each.path):
        line = f"{entry.content.sha256} {entry.content.size} {entry.path}\n"
        digest.update(line.encode())
        count += 1
    return count, digest.hexdigest()


def _read(connection: Connection, name: object) -> Entry | None:
    row = connection.execute(select(lake_file).where(lake_file.c.path == name)).one_or_none()
    return None if row is None else Entry(row.path, Content(row.size, row.sha256), row.modified_ns)


def _entries(connection: Connection) -> Iterator[Entry]:
    for row in connection.execute(select(lake_file).order_by(lake_file.c.path)):
        yield Entry(row.path, Content(row.size, row.sha256), row.modified_ns)
