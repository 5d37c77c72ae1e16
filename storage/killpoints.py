"""The moments at which a crash is tested: every arrow in the life of a run, named in one place.

Code calls :func:`reach` where it passes such a moment, which does nothing unless the process was
armed for it (setting ``KILL_AT``). Then the process kills itself with SIGKILL, as the kernel's
memory killer would: no handler runs, nothing is flushed.
"""

import os
import re
import signal
import threading
import time
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
    MEMBERS_TAKEN = "members_taken"
    """One more board has the members a sweep names; others have not, the ledger knows of none."""
    WAVE_RECORDED = "wave_recorded"
    """The wave is committed in the ledger; staged files stand, the message is not acknowledged."""
    MAIL_BEGUN = "mail_begun"
    """A mail's recipients are marked as being sent to; none of its content has left."""
    MAIL_ANSWERED = "mail_answered"
    """The mail server has answered; the delivery ledger does not know it."""


_SPEC = re.compile(
    r"^(?P<point>\w+)(?::(?P<nth>[1-9]\d*))?(?:@(?P<detail>[^=]+))?(?:=(?P<act>hang|wait))?$"
)


@dataclass(slots=True)
class _Armed:
    point: KillPoint
    detail: str | None
    act: str | None
    left: int
    marker: Path | None


_armed: _Armed | None = None
_lock = threading.Lock()


def arm(text: str, marker: Path) -> None:
    """Make this process kill itself at a point, or hang there.

    Args:
        text: ``POINT`` or ``POINT:N``: once, the N-th time it is reached. ``POINT@DETAIL``: every
            time it is reached for that batch or symbol. With ``=hang`` behind it the thread sleeps
            for ever instead, with ``=wait`` until the marker is removed.
        marker: A file that is made before what happens once; where it is there already nothing
            happens, so that a restarted process is not killed again.

    Raises:
        ConfigurationError: Not of that form, or no such point.
    """
    global _armed  # noqa: PLW0603  (one per process)
    spec = _SPEC.match(text)
    if spec is None or spec["point"] not in set(KillPoint):
        known = ", ".join(KillPoint)
        raise ConfigurationError(
            f"KILL_AT={text}: write POINT, POINT:N or POINT@DETAIL, with =hang or =wait; the "
            f"points are {known}"
        )
    _armed = _Armed(
        point=KillPoint(spec["point"]),
        detail=spec["detail"],
        act=spec["act"],
        left=int(spec["nth"] or 1),
        marker=None if spec["detail"] else marker,
    )


def reach(point: KillPoint, detail: object = "") -> None:
    """Note that a moment has come; where the process is armed for it, the process ends here.

    Args:
        point: Which moment.
        detail: For which batch or symbol.
    """
    if _armed is None or _armed.point is not point:
        return
    with _lock:
        if not _happens(_armed, str(detail)):
            return
    if _armed.act is None:
        os.kill(os.getpid(), signal.SIGKILL)
    while _armed.marker is None or _armed.marker.exists() or _armed.act == "hang":
        time.sleep(0.05)


def _happens(armed: _Armed, detail: str) -> bool:
    if armed.detail is not None:
        return armed.detail == detail
    armed.left -= 1
    if armed.left:
        return False
    assert armed.marker is not None
    try:
        armed.marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
