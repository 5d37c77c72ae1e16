"""Staging: what a batch fetched, durable before the ledger says so."""

import errno
import hashlib
import shutil
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from market.bars import Dataset, bar_schema
from storage.errors import CorruptFileError
from storage.files import replace_file
from storage.hashing import Content, HashingFile
from storage.side_by_side import each


class Staging:
    """One Parquet file per batch and table, below ``root/<run_id>/``.

    Args:
        root: The folder that all workers of an installation see.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def write(
        self,
        run_id: str,
        batch_no: int,
        token: str,
        tables: Mapping[str, pa.Table],
        *,
        session: date | None = None,
        settled: bool = False,
    ) -> dict[str, Any]:
        """Write a batch's tables and make them durable.

        Args:
            run_id: The run.
            batch_no: The batch.
            token: Of the claim under which it was fetched.
            tables: By name.
            session: The session that lists among them show.
            settled: Whether it was over then, so that what shows no trade had none.

        Returns:
            The manifest that the ledger keeps: for each table its file, hash and rows.

        Raises:
            DiskFullError: No room; nothing counts as staged.
            UnwritableError: The folder cannot be written; nothing counts as staged.
        """
        staged: dict[str, Any] = {}
        for name, table in tables.items():
            relative = Path(run_id) / f"{batch_no:06d}.{token}.{name}.parquet"
            content = _durable(table, self.root / relative)
            staged[name] = {
                "file": str(relative),
                "sha256": content.sha256,
                "rows": table.num_rows,
            }
        return {"tables": staged, "session": session and session.isoformat(), "settled": settled}

    def read(self, manifest: Mapping[str, Any], name: str) -> pa.Table:
        """A staged table.

        Raises:
            CorruptFileError: The file is gone, or not the one that was staged.
        """
        entry = manifest["tables"][name]
        path = self.root / entry["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CorruptFileError(
                f"the staged file {path} cannot be read ({error.strerror}): do all workers see the "
                "same STAGING_DIR?",
                {"path": str(path)},
            ) from error
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise CorruptFileError(
                f"the staged file {path} is not the one that was written: its hash differs",
                {"path": str(path)},
            )
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)

    def read_bars(self, manifests: Iterable[Mapping[str, Any]], dataset: Dataset) -> pa.Table:
        """All bars of a dataset that some batches staged, in its schema and in their order.

        Raises:
            CorruptFileError: A file is gone, or not the one that was staged.
        """
        schema = bar_schema(dataset)
        staged = (manifest for manifest in manifests if dataset.value in manifest["tables"])
        tables = each(lambda manifest: self.read(manifest, dataset.value), staged)
        tables = [bars for bars in tables if bars.num_rows]
        if not tables:
            return schema.empty_table()
        return pa.concat_tables(tables, promote_options="permissive").cast(schema).combine_chunks()

    def discard(self, manifest: Mapping[str, Any]) -> None:
        """Remove a batch's staged files, and their run's folder with the last of them."""
        for entry in manifest["tables"].values():
            path = self.root / entry["file"]
            path.unlink(missing_ok=True)
            _remove_if_empty(path.parent)

    def run_ids(self) -> list[str]:
        """Runs that have staged something which still lies there."""
        if not self.root.exists():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def discard_run(self, run_id: str) -> None:
        """Remove all that a run has staged."""
        # Another reconciler may do the same at this moment.
        shutil.rmtree(self.root / run_id, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        # Another batch's file is in it, or another worker was faster: both are as it should be.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def _durable(table: pa.Table, path: Path) -> Content:
    written: list[Content] = []
    replace_file(path, lambda temporary: written.append(_write(table, temporary)))
    return written[-1]


def _write(table: pa.Table, path: Path) -> Content:
    """Written to be read once and soon: what costs least, not what is smallest."""
    coded = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    with HashingFile(path.open("wb")) as file:
        pq.write_table(table, file, compression="lz4", use_dictionary=coded, write_statistics=False)
        return file.content
