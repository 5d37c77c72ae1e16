"""The exchange clock: the one place that knows what time it is in Shanghai."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

EXCHANGE_TZ = ZoneInfo("Asia/Shanghai")
_FIRST_YEAR, _LAST_YEAR = 1900, 2999


class Clock(Protocol):
    """Gives the exchange's wall time."""

    def now(self) -> datetime:
        """The current instant, aware, in Asia/Shanghai."""
        ...


class SystemClock:
    """The machine's clock, read in Shanghai."""

    def now(self) -> datetime:
        """The current instant in Asia/Shanghai."""
        return datetime.now(UTC).astimezone(EXCHANGE_TZ)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still, for simulated markets and tests."""

    instant: datetime

    def now(self) -> datetime:
        """The fixed instant in Asia/Shanghai."""
        return in_shanghai(self.instant)


def in_shanghai(instant: datetime) -> datetime:
    """An instant as the exchange's wall clock shows it.

    Raises:
        ValueError: It has no time zone; reading it in the machine's would be a guess.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone: say which, e.g. +08:00")
    return instant.astimezone(EXCHANGE_TZ)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant; one without an offset is Shanghai time.

    Raises:
        ValueError: Not an ISO 8601 instant, or in no year from 1900 to 2999: near the ends of the
            calendar neither time zones nor windows can be counted.
    """
    instant = datetime.fromisoformat(text)
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise ValueError(f"{text} is in no year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return instant.replace(tzinfo=EXCHANGE_TZ) if instant.tzinfo is None else instant
