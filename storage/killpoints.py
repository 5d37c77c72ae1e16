"""The moments at which a crash is tested: every arrow in the life of a run, named in one place.

Code calls :func:`reach` where it passes such a moment, which does nothing unless the process was
armed for it (setting ``KILL_AT``). Then the process kills itself with SIGKILL, as the kernel's
memory killer would: no handler runs, nothing is flushed.
"""

import os
import signal
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from market.errors import ConfigurationError


class KillPoint(StrEnum):
    """Moments between two steps that a crash may part, in the order in which a run meets them."""

    RUN_RECORDED = "run_recorded"
    """The run is in the ledger; no message has left."""
    MESSAGE_PUBLISHED = "message_published"
    """One more header message has left; others of its chord have not."""
    BATCH_CLAIMED = "batch_claimed"
    """The batch is leased; nothing is fetched."""
    ITEM_FETCHED = "item_fetched"
    """One more item is fetched; it is in memory only."""
    FILES_STAGED = "files_staged"
    """The staged files are durable; the ledger does not know them."""
    BATCH_RECORDED = "batch_recorded"
    """The batch is staged in the ledger; its message is not acknowledged."""
    WAVE_CLAIMED = "wave_claimed"
    """The committing lease is taken; nothing is merged."""
    PARTITION_WRITTEN = "partition_written"
    """A partition's new file is durable beside the old one; it has not taken its place."""
    PARTITION_RENAMED = "partition_renamed"
    """A partition's new file is in its place; others of the commit may not be."""
    LAKE_WRITTEN = "lake_written"
    """All bars are in Parquet; none are in SQL."""
    WAREHOUSE_WRITTEN = "warehouse_written"
    """All bars are in both stores; the ledger does not know it."""
    WAVE_RECORDED = "wave_recorded"
    """The wave is committed in the ledger; staged files stand, the message is not acknowledged."""


@dataclass(slots=True)
class _Armed:
    point: KillPoint
    left: int
    marker: Path | None


_armed: _Armed | None = None
_lock = threading.Lock()


def arm(text: str, marker: Path | None = None) -> None:
    """Make this process kill itself at a point.

    Args:
        text: ``POINT``, or ``POINT:N`` for the N-th time it is reached.
        marker: A file that is made before the kill; where it is there already, nothing happens, so
            that a restarted process is not killed again. None: every time.

    Raises:
        ConfigurationError: No such point, or N is no number above zero.
    """
    global _armed  # noqa: PLW0603  (one per process)
    name, _, nth = text.partition(":")
    try:
        point = KillPoint(name)
    except ValueError:
        known = ", ".join(KillPoint)
        raise ConfigurationError(f"KILL_AT={text}: no such point; use one of {known}") from None
    if nth and (not nth.isdigit() or nth == "0"):
        raise ConfigurationError(f"KILL_AT={text}: {nth!r} is no number of times")
    _armed = _Armed(point, int(nth or 1), marker)


def reach(point: KillPoint) -> None:
    """Note that a moment has come; where the process is armed for it, the process ends here."""
    if _armed is None or _armed.point is not point:
        return
    with _lock:
        _armed.left -= 1
        if _armed.left:
            return
        if _armed.marker is not None:
            try:
                _armed.marker.touch(exist_ok=False)
            except FileExistsError:
                return
        os.kill(os.getpid(), signal.SIGKILL)
