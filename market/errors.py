"""The root of every error that quantsync raises on purpose.

::

    QuantsyncError
    ├── UsageError          the caller asked for something that cannot be meant; exit code 2
    │   ├── InvalidSymbolError · InvalidPeriodError · InvalidWindowError · CalendarRangeError
    │   └── ConfigurationError   a setting is wrong
    └── (ingest.source.SourceError, storage.errors.StorageError, pipeline errors)

Every class takes ``(message, context)`` and hands both to ``Exception.__init__``: that is the one
shape which survives pickling and Celery's JSON result backend with its context intact.
"""

from collections.abc import Mapping


class QuantsyncError(Exception):
    """Base of all deliberate errors.

    Args:
        message: One sentence: what was wrong, for which thing, and what to do.
        context: Identifiers for logs and machines, e.g. ``{"symbol": "600519.SH"}``; a value that
            JSON does not know is kept as its text.
    """

    def __init__(self, message: str, context: Mapping[str, object] | None = None) -> None:
        super().__init__(message, {name: _plain(value) for name, value in (context or {}).items()})

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return str(self.args[0])

    @property
    def context(self) -> dict[str, object]:
        """The identifiers for a machine."""
        return dict(self.args[1])

    def __str__(self) -> str:
        return self.message


def _plain(value: object) -> object:
    # One value that JSON does not know would cost Celery the error's class and all its context.
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value if value is None or isinstance(value, str | int | float) else str(value)


class UsageError(QuantsyncError):
    """The request itself is wrong; nothing was started."""


class ConfigurationError(UsageError):
    """A setting is missing or wrong."""


class InvalidSymbolError(UsageError):
    """A text that names no symbol of the SH, SZ or BJ exchange."""


class InvalidPeriodError(UsageError):
    """A period that is unknown, or not fetched."""


class InvalidWindowError(UsageError):
    """A window whose ends are reversed, or which holds no session."""


class CalendarRangeError(UsageError):
    """A date outside the recorded trading calendar."""
