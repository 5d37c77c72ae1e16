"""SHA-256 of files, taken while they are written or when they are read."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_PORTION = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds.

    Attributes:
        size: Bytes.
        sha256: Hexadecimal.
    """

    size: int
    sha256: str


class HashingFile(io.RawIOBase):
    """A file being written, whose content is known when it is: no second look at the disk.

    Args:
        file: Where the bytes go; closed with this one.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self._size = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        """It is, and nothing else."""
        return True

    def write(self, data: Any, /) -> int:
        """Write all of it."""
        count = memoryview(data).nbytes
        self._file.write(data)
        self._hash.update(data)
        self._size += count
        return count

    def tell(self) -> int:
        """How many bytes were written."""
        return self._size

    def close(self) -> None:
        """Close the file beneath, too."""
        if not self.closed:
            self._file.close()
        super().close()

    @property
    def content(self) -> Content:
        """What was written so far."""
        return Content(self._size, self._hash.hexdigest())

    def content_with(self, tail: bytes) -> Content:
        """What a file would hold in which this followed what was written so far."""
        continued = self._hash.copy()
        continued.update(tail)
        return Content(self._size + len(tail), continued.hexdigest())


def hash_file(path: Path) -> Content:
    """What a file holds.

    Raises:
        OSError: It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while portion := file.read(_PORTION):
            digest.update(portion)
            size += len(portion)
    return Content(size, digest.hexdigest())
