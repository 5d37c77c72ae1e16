"""A lock file that is waited for so long and no longer, and who holds it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class LockHeldError(Exception):
    """The lock was not to be had in time; the argument says who holds it."""


@contextmanager
def locked(path: Path, wait_s: float) -> Iterator[None]:
    """Hold a lock file, which is made if need be and stays.

    Raises:
        OSError: The file cannot be made, and why.
        LockHeldError: Another process has held it for all of ``wait_s`` seconds.
    """
    # filelock takes some reasons for which a file cannot be made for passing ones and tries for
    # ever: make it first, so that the reason is heard.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise LockHeldError(_holder(path)) from error
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Who holds the lock, as far as the kernel says (Linux)."""
    try:
        number = path.stat().st_ino
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            # The fifth word is the process, the sixth ends with the inode.
            if len(words) > 5 and words[5].rsplit(":", 1)[-1] == str(number):  # noqa: PLR2004
                return f"process {words[4]}"
    except OSError:
        pass
    return "another process"
