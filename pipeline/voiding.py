"""Leases of processes that are gone: void at once, for their owners will not come back."""

import logging

from pipeline.identity import is_known_dead
from storage.recovery import Recovery

log = logging.getLogger(__name__)


def void_leases_of_the_dead(recovery: Recovery) -> int:
    """Give back what processes of this machine held that are no more; how many leases."""
    dead = {owner for owner in recovery.lease_owners() if is_known_dead(owner)}
    if not dead:
        return 0
    given = recovery.void_leases(dead, at_fault=True)
    if given:
        log.warning("%s leases of %s are void: the process is gone", given, ", ".join(sorted(dead)))
    return given
