"""Sweeps of quotes as they were taken, so that the next one can be compared with them.

One Parquet file per bar end, below ``lake/snapshot/date=2025-12-31/0935.parquet``.
"""

import shutil
from datetime import date, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import CorruptFileError
from storage.files import replace_file

_FOLDER = "snapshot"


class Snapshots:
    """Sweeps below a lake's root.

    Args:
        lake_root: The lake's folder.
    """

    def __init__(self, lake_root: Path) -> None:
        self._root = Path(lake_root) / _FOLDER

    def write(self, session: date, end: time, quotes: pa.Table) -> None:
        """Keep a sweep; one of the same bar end gives way. Idempotent.

        Raises:
            StorageError: The folder cannot be written.
        """
        replace_file(
            self._path(session, end),
            lambda temporary: pq.write_table(quotes, temporary, compression="zstd"),
        )

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
        gone = 0
        for folder in sorted(self._root.glob("date=*")):
            if date.fromisoformat(folder.name.removeprefix("date=")) < before:
                shutil.rmtree(folder)
                gone += 1
        return gone

    def _path(self, session: date, end: time) -> Path:
        return self._root / f"date={session.isoformat()}" / f"{end:%H%M}.parquet"
