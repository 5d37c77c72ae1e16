"""The clock that beat keeps in a drill: the upstream's, which a simulator may run fast."""

import logging
from datetime import datetime

from market.clock import in_shanghai
from market.errors import QuantsyncError
from pipeline.runtime import current_runtime

log = logging.getLogger(__name__)

_last: datetime | None = None


def market_now() -> datetime:
    """Exchange time by the upstream's clock; while that cannot be read, time stands still.

    Raises:
        QuantsyncError: It cannot be read, and never was.
    """
    global _last  # noqa: PLW0603  (beat pickles its schedule: only a plain function can go along)
    runtime = current_runtime()
    try:
        _last = in_shanghai(runtime.clock(runtime.settings.quantsync_upstream).now())
    except QuantsyncError as error:
        if _last is None:
            raise
        log.warning("beat waits at %s: %s", _last, error)
    return _last
