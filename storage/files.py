"""Writing files so that a reader sees the old one or the new one, and a crash loses neither."""

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from storage.errors import DiskFullError, UnwritableError

_ATTEMPTS = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_SIGNS = ("No space left", "is full", "quota exceeded")


def replace_file(
    path: Path,
    write: Callable[[Path], None],
    *,
    written: Callable[[], None] = lambda: None,
    setting: str = "QUANTSYNC_HOME",
) -> None:
    """Write a file beside its place, make it durable, and move it there.

    Args:
        path: Its place.
        write: Writes the file at the path it is given.
        written: Called when the new file is durable and the old one still in its place.
        setting: What names its folder.

    The temporary name begins with a dot, so that nothing that reads the folder takes it for data.

    Raises:
        DiskFullError: No room; what was there stays as it was.
        UnwritableError: Read-only, or no permission; what was there stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        _write_beside(path, temporary, write)
        sync_file(temporary)
        written()
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, pa.ArrowException) as error:
        raise unwritable(path, error, setting) from error
    finally:
        if temporary.exists():
            temporary.unlink(missing_ok=True)


def unwritable(
    path: Path, error: OSError | pa.ArrowException, setting: str = "QUANTSYNC_HOME"
) -> UnwritableError:
    """The error for a path that cannot be written: the disk is full, or somebody must see to it.

    Args:
        path: The place.
        error: What was met.
        setting: What names the folder it is in.
    """
    cause = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _FULL or any(sign in cause for sign in _FULL_SIGNS):
        return DiskFullError(
            f"{path} cannot be written ({cause}): nothing that was there is lost; make room, and "
            "it goes on by itself",
            {"path": str(path)},
        )
    return UnwritableError(
        f"{path} cannot be written ({cause}): nothing that was there is lost; give permission, or "
        f"set {setting} to a place that can, then run again",
        {"path": str(path)},
    )


def check_writable(folder: Path) -> None:
    """Make sure that files can be made in a folder, which is made if it is not there.

    Raises:
        UnwritableError: They cannot.
    """
    probe = folder / f".writable.{secrets.token_hex(6)}.tmp"
    try:
        make_folder(folder)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(folder, error) from error


def _write_beside(path: Path, temporary: Path, write: Callable[[Path], None]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            make_folder(path.parent)
            write(temporary)
        except FileNotFoundError:
            # Somebody removed the folder, then empty, between the two lines above.
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def move_file(path: Path, to: Path) -> None:
    """Move a file within its folder, durably.

    Raises:
        UnwritableError: Read-only, or no permission; the file stays where it is.
    """
    try:
        path.rename(to)
        sync_folder(path.parent)
    except OSError as error:
        raise UnwritableError(
            f"{path} cannot be moved to {to.name} ({error.strerror}): give permission, then run "
            "again",
            {"path": str(path)},
        ) from error


def discard_leftovers(path: Path) -> None:
    """Remove what killed writers of a file left beside it; only while no other one can write it."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durable: a file is no safer than the name of its folder."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_file(path: Path) -> None:
    """Make what a file holds durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
