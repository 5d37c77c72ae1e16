"""Brokers that die, forget, fill up or stand still: the ledger knows what they do not."""

import signal
from collections.abc import Callable

from tests.fixtures.arena import Arena, Record

Begin = Callable[..., Record]


def test_13_a_killed_redis_is_restarted_and_the_run_goes_on(arena: Arena, record: Begin) -> None:
    """Embedded, with its append-only file: the supervisor starts it again."""
    noted = record("13", "SIGKILL of Redis (AOF on)", "mid-run, embedded stack")
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        arena.processes("redis-server")[0].send(signal.SIGKILL)
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()
