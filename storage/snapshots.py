"""Sweeps of quotes as they were taken, so that the next one can be compared with them.

One Parquet file per bar end, below ``lake/snapshot/date=2025-12-31/0935.parquet``.
"""

import re
import shutil
from datetime import date, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import CorruptFileError
from storage.files import replace_file
from storage.hashing import Content, HashingFile
from storage.lake_manifest import LakeManifest

_FOLDER = "snapshot"
_SESSION = re.compile(r"^date=(\d{4}-\d{2}-\d{2})$")
_PLACE = re.compile(rf"^{_FOLDER}/date=\d{{4}}-\d{{2}}-\d{{2}}/([01]\d|2[0-3])[0-5]\d\.parquet$")


class Snapshots:
    """Sweeps below a lake's root.

    Args:
        lake_root: The lake's folder.
        manifest: Where each file that is written is entered; None: nowhere.
    """

    def __init__(self, lake_root: Path, manifest: LakeManifest | None = None) -> None:
        self._root = Path(lake_root) / _FOLDER
        self._manifest = manifest

    def write(self, session: date, end: time, quotes: pa.Table) -> None:
        """Keep a sweep; one of the same bar end gives way. Idempotent.

        Raises:
            StorageError: The folder cannot be written.
        """
        path, written = self._path(session, end), list[Content]()
        replace_file(path, lambda temporary: written.append(_write(quotes, temporary)))
        if self._manifest is not None:
            self._manifest.record(path, written[-1])

    def read(self, session: date, end: time) -> pa.Table | None:
        """A sweep; None if none was taken then.

        Raises:
            CorruptFileError: The file cannot be read.
        """
        path = self._path(session, end)
        if not path.exists():
            return None
        try:
            with pa.OSFile(str(path)) as file:  # opened once, though it is replaced meanwhile
                return pq.read_table(file, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise CorruptFileError(
                f"the sweep {path} cannot be read ({error}): delete it, the official bars do not "
                "need it",
                {"path": str(path)},
            ) from error

    def forget(self, before: date) -> int:
        """Delete the sweeps of all sessions before a day; how many sessions there were."""
        gone = [session for session in self.sessions() if session < before]
        for session in gone:
            folder = self._root / f"date={session.isoformat()}"
            for path in folder.glob("*.parquet"):
                if self._manifest is not None:
                    self._manifest.forget(path)
            shutil.rmtree(folder)
        return len(gone)

    def sessions(self) -> list[date]:
        """The sessions of which sweeps are kept, ascending."""
        folders = (_SESSION.match(each.name) for each in self._root.glob("date=*"))
        return sorted(date.fromisoformat(each[1]) for each in folders if each)

    def _path(self, session: date, end: time) -> Path:
        return self._root / f"date={session.isoformat()}" / f"{end:%H%M}.parquet"


def is_sweep(name: str) -> bool:
    """Whether a path below the lake, by ``/``, is the place of a sweep."""
    return _PLACE.match(name) is not None


def _write(quotes: pa.Table, path: Path) -> Content:
    with HashingFile(path.open("wb")) as file:
        pq.write_table(quotes, file, compression="zstd", write_page_checksum=True)
        return file.content
