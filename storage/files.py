"""Writing files so that a reader sees the old one or the new one, and a crash loses neither."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from storage.errors import UnwritableError


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside its place, make it durable, and move it there.

    The temporary name begins with a dot, so that nothing that reads the folder takes it for data.

    Raises:
        UnwritableError: Read-only, full, or no permission; what was there stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, pa.ArrowException) as error:
        if temporary.exists():
            temporary.unlink(missing_ok=True)
        cause = getattr(error, "strerror", None) or str(error)
        raise UnwritableError(
            f"{path} cannot be written ({cause}): nothing that was there is lost",
            {"path": str(path)},
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
