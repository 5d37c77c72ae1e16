"""How far upstreams' clocks are off, as ordinary answers tell it: nothing is sent to learn that."""

import logging
import time

from ingest.wire import Observation
from storage.database import Database
from storage.errors import StorageError
from storage.vital_signs import note_clock

log = logging.getLogger(__name__)

_EVERY_S = 60.0
_kept: dict[str, float] = {}


def keep_clocks(database: Database, observation: Observation) -> None:
    """Keep what the last answer of each upstream told, about once a minute."""
    told = {
        each.domain: each.clock_off_s
        for each in observation.exchanges
        if each.clock_off_s is not None
    }
    for domain, off_s in told.items():
        if time.monotonic() - _kept.get(domain, -_EVERY_S) < _EVERY_S:
            continue
        _kept[domain] = time.monotonic()
        try:
            note_clock(database, domain, off_s)
        except StorageError as error:
            log.warning("the clock of %s could not be kept: %s", domain, error)
