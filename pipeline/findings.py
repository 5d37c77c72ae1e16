"""What ``quantsync doctor`` finds: one thing that was looked at, how it is, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass

import redis

from market.errors import QuantsyncError

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: The part.
        level: ``ok``, ``warning`` or ``error``.
        says: What was found.
        remedy: What to do about it; None if nothing.
    """

    what: str
    level: str
    says: str
    remedy: str | None = None


def asked(what: str, ask: Callable[[], Finding], remedy: str) -> Finding:
    """What a part says; that it does not answer is a finding, too."""
    try:
        return ask()
    except (QuantsyncError, redis.RedisError, OSError) as error:
        return Finding(what, ERROR, str(error), remedy)


def duration(seconds: float) -> str:
    """A time for people: ``40 s``, ``12 min 4 s``, ``3 h 20 min``."""
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
