"""How far an upstream's clock is off this machine's, by the header ``Date`` of its answers."""

from datetime import UTC
from email.utils import parsedate_to_datetime

_CUT_OFF_S = 0.5
"""The header has whole seconds, so half a second is cut off on average."""


def clock_offset(date_header: str | None, now: float) -> float | None:
    """Seconds that the upstream's clock is ahead; None if the answer does not tell.

    Args:
        date_header: The header ``Date``.
        now: This machine's time when the answer came, epoch seconds.
    """
    if date_header is None:
        return None
    try:
        told = parsedate_to_datetime(date_header)
    except ValueError:
        return None
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    return told.timestamp() + _CUT_OFF_S - now
