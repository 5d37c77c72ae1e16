"""What the lines of a log are about: the run, batch or wave that this thread works on."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_fields: ContextVar[Mapping[str, object]] = ContextVar("quantsync_log_fields", default={})  # noqa: B039  (never changed in place)


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Add fields, such as ``run_id``, to every record logged inside by this thread."""
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


class FieldsFilter(logging.Filter):
    """Puts the fields into each record; lets all of them through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what this thread works on."""
        for name, value in _fields.get().items():
            setattr(record, name, value)
        return True
