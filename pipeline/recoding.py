"""Bringing the lake under the present codes after a renumbering."""

from collections.abc import Callable

from market.bars import Dataset
from market.periods import FETCHED_PERIODS
from pipeline.runtime import Runtime
from storage.identity import note_recoded, pending_recodes


def recode(runtime: Runtime, *, alive: Callable[[], None] = lambda: None) -> int:
    """Rewrite what still lies under old codes in the lake. Idempotent.

    Until it has ended, readers translate, so it may be interrupted and repeated at any time.

    Args:
        runtime: The stores.
        alive: Called after each partition; what it raises ends the work there.

    Returns:
        How many partitions were rewritten.

    Raises:
        StorageError: A store cannot be used.
    """
    codes = pending_recodes(runtime.database)
    if not codes:
        return 0
    rewritten = 0
    for period in FETCHED_PERIODS:
        for partition in runtime.lake.partitions(Dataset.KLINE, period):
            rewritten += runtime.lake.recode(partition)
            alive()
    note_recoded(runtime.database, codes)
    return rewritten
