"""What beat does beside sending: refuse a schedule that cannot work, and show that it lives."""

import logging
import time
from typing import Any

from celery.signals import after_task_publish

from market.errors import ConfigurationError
from pipeline.queues import ALL_QUEUES
from pipeline.runtime import Runtime
from pipeline.ticks import check_schedule
from scheduling.beat import check_entries
from storage.errors import StorageError
from storage.vital_signs import BEAT, note_sign

log = logging.getLogger(__name__)

SIGN_EVERY_S = 10.0
"""Seconds between two signs of life, if there is something to send so often."""


def begin(runtime: Runtime, celery: Any) -> None:
    """Check the schedule that beat is about to keep, and show signs of life from now on.

    Args:
        runtime: The stores.
        celery: The app whose schedule it is.

    Raises:
        SystemExit: The schedule can never work, with the reason. Celery logs whatever else a
            handler raises, and goes on.
    """
    celery.loader.import_default_modules()
    try:
        check_entries(
            (
                (name, entry["task"], entry.get("options", {}).get("queue"))
                for name, entry in celery.conf.beat_schedule.items()
            ),
            tasks=celery.tasks,
            queues=ALL_QUEUES,
        )
        check_schedule(runtime)
    except ConfigurationError as error:
        raise SystemExit(f"beat does not start: {error}") from error
    _Sign(runtime)


class _Sign:
    """Notes in the ledger that a message has left, every so often."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._noted = -SIGN_EVERY_S
        after_task_publish.connect(self._sent, weak=False)

    def _sent(self, **_signal: object) -> None:
        if time.monotonic() - self._noted < SIGN_EVERY_S:
            return
        self._noted = time.monotonic()
        try:
            note_sign(self._runtime.database, BEAT)
        except StorageError as error:
            log.warning("the sign that beat lives could not be kept: %s", error)
