"""What can go wrong while keeping data; each message names the path or database and the remedy."""

from market.errors import QuantsyncError


class StorageError(QuantsyncError):
    """A store could not be read or written; nothing already kept was lost.

    ``transient`` says whether trying again may succeed without anybody's hand.
    """

    transient = False


class UnwritableError(StorageError):
    """A folder, file or database cannot be written (read-only, no permission, in the way)."""


class DiskFullError(UnwritableError):
    """There is no room left; what waits to be written is written once there is."""

    transient = True


class NoSuchRunError(StorageError):
    """The ledger has no run of that id."""


class CorruptFileError(StorageError):
    """A file that should be Parquet, or should match its hash, does not."""


class LakeUnreadableError(StorageError):
    """The lake's folder cannot be read, or is not there though bars were written to it."""


class DatabaseUnreachableError(StorageError):
    """The database does not answer, or refuses the login."""

    transient = True


class PartitionBusyError(StorageError):
    """Another process has been writing a partition for so long that it may hang."""

    transient = True
