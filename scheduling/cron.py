"""Instants by the clock, in the words of crontab: as Celery reads them, without Celery."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from market.errors import ConfigurationError

_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)


class WrongCronError(ConfigurationError):
    """Five fields that crontab would not understand."""


_LONGEST = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, at most."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Minutes at which something happens; all five fields must agree.

    Attributes:
        minute: ``*``, ``*/5``, ``0,30``, ``10-20`` or ``10-20/5``; so are the others.
        hour: 0 to 23.
        day_of_month: 1 to 31.
        month: 1 to 12.
        day_of_week: 0 (Sunday) to 6.
    """

    minute: str = "*"
    hour: str = "*"
    day_of_month: str = "*"
    month: str = "*"
    day_of_week: str = "*"

    @classmethod
    def read(cls, text: str) -> "Cron":
        """Five fields between spaces.

        Raises:
            WrongCronError: Not five, one of them is out of range, or no day is both.
        """
        words = text.split()
        if len(words) != len(_FIELDS):
            raise WrongCronError(
                f"{text!r} has {len(words)} fields: a crontab line has five (minute, hour, day of "
                "month, month, day of week), such as 30 2 * * *"
            )
        cron = cls(*words)
        _, _, days, months, _ = cron.numbers()
        if min(days) > max(_LONGEST[month] for month in months):
            raise WrongCronError(
                f"{text!r} never comes: no month of {cron.month} has a day {min(days)}"
            )
        return cron

    def numbers(self) -> tuple[frozenset[int], ...]:
        """The numbers that each field admits, in the order of the fields.

        Raises:
            WrongCronError: A field cannot be read.
        """
        words = (self.minute, self.hour, self.day_of_month, self.month, self.day_of_week)
        return tuple(_expand(word, *field) for word, field in zip(words, _FIELDS, strict=True))

    def instants(self, start: datetime, end: datetime, zone: tzinfo) -> Iterator[datetime]:
        """Every instant in ``[start, end)``, ascending, on the clocks of a time zone."""
        minutes, hours, days, months, weekdays = self.numbers()
        day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
        while day <= last:
            if day.month in months and day.day in days and _weekday(day) in weekdays:
                for hour in sorted(hours):
                    for minute in sorted(minutes):
                        at = datetime.combine(day, time(hour, minute), tzinfo=zone)
                        if start <= at < end:
                            yield at
            day += timedelta(days=1)

    def __str__(self) -> str:
        return f"{self.minute} {self.hour} {self.day_of_month} {self.month} {self.day_of_week}"


def _weekday(day: date) -> int:
    return day.isoweekday() % 7


def _expand(word: str, name: str, low: int, high: int) -> frozenset[int]:
    numbers: set[int] = set()
    for part in word.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            start = low if span == "*" else int(first)
            stop = high if span == "*" else int(last) if dash else start
            every = int(step) if step else 1
        except ValueError:
            raise _wrong(word, name, low, high) from None
        if not (low <= start <= stop <= high and every > 0) or (step and not dash and span != "*"):
            raise _wrong(word, name, low, high)
        numbers.update(range(start, stop + 1, every))
    return frozenset(numbers)


def _wrong(word: str, name: str, low: int, high: int) -> WrongCronError:
    return WrongCronError(
        f"{word!r} is no {name} of a crontab line: use *, */n, a-b, a-b/n or numbers between "
        f"commas, from {low} to {high}"
    )
