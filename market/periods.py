"""Periods: how long a bar is, and which of them are fetched rather than derived."""

from enum import StrEnum

from market.errors import InvalidPeriodError


class Period(StrEnum):
    """Length of a bar."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    M60 = "60m"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    @property
    def minutes(self) -> int | None:
        """Minutes of an intraday bar; None for daily and longer."""
        return int(self.value[:-1]) if self.value.endswith("m") else None

    @property
    def is_intraday(self) -> bool:
        """True for bars shorter than a session."""
        return self.minutes is not None


FETCHED_PERIODS = (Period.M1, Period.M5, Period.DAILY)
"""The periods read from upstream; the others are aggregated from 5m and daily."""


def parse_period(text: str) -> Period:
    """Read a period such as ``daily`` or ``5m``.

    Raises:
        InvalidPeriodError: Unknown period.
    """
    try:
        return Period(text.strip().lower())
    except ValueError:
        known = ", ".join(p.value for p in Period)
        raise InvalidPeriodError(
            f"{text!r} is not a period: use one of {known}", {"period": text}
        ) from None


def parse_fetched_period(text: str) -> Period:
    """Read a period that upstream is asked for: 1m, 5m or daily.

    Raises:
        InvalidPeriodError: Unknown, or derived from another period on read.
    """
    period = parse_period(text)
    if period not in FETCHED_PERIODS:
        raise InvalidPeriodError(
            f"{period.value} bars are not fetched: they are aggregated from "
            f"{'5m' if period.is_intraday else 'daily'}; synchronise that period instead",
            {"period": text},
        )
    return period
