"""Permitted request rates, as they are written and counted: without Redis, so that settings may."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from market.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most ``count`` requests in any ``seconds``."""

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


_WINDOW = re.compile(r"^\s*(\d+)\s*/\s*(\d+(?:\.\d+)?)\s*s?\s*$")


def parse_windows(text: str) -> tuple[RateWindow, ...]:
    """Read windows written as ``1/1s,180/300s``.

    Raises:
        ConfigurationError: Not of that form, or a count or length of zero.
    """
    windows = []
    for part in text.split(","):
        match = _WINDOW.match(part)
        if match is None or int(match[1]) == 0 or float(match[2]) == 0:
            raise ConfigurationError(
                f"{text!r} is not a budget: expected requests/seconds pairs such as 1/1s,180/300s"
            )
        windows.append(RateWindow(int(match[1]), float(match[2])))
    return tuple(windows)


def sustained_rate(windows: Sequence[RateWindow]) -> float:
    """Requests per second that all windows together permit in the long run."""
    return min(w.count / w.seconds for w in windows)
