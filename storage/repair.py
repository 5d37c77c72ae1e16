"""Making Parquet and SQL the same again, one partition at a time, without asking the upstream.

The stores are merged both ways by the rule of :mod:`storage.merging`, which does not care about the
order. What neither of them can give any more loses its coverage, so that the next sync fetches it.
A crash in between is repaired by repairing again.
"""

from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from market.bars import VALUE_COLUMNS, Dataset
from market.periods import Period
from market.sessions import exchange_calendar
from storage.coverage import forget_coverage
from storage.database import Database
from storage.lake import Lake, Partition
from storage.verification import PartitionCheck, check_partition, partition_window
from storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class PartitionRepair:
    """What was done to a partition that differed.

    Attributes:
        into_lake: Bars that Parquet got or changed.
        into_sql: Bars that SQL got or changed.
        kept: Where the corrupt file lies now; None if there was none.
        sessions: Sessions that lost their coverage, ascending: the next sync fetches them.
        series: How many series lost it.
        problem: What still differs, in a sentence; None if nothing does.
    """

    dataset: Dataset
    period: Period
    partition: str
    into_lake: int
    into_sql: int
    kept: str | None
    sessions: tuple[date, ...]
    series: int
    problem: str | None


def repair_partition(
    lake: Lake, warehouse: Warehouse, database: Database, check: PartitionCheck
) -> PartitionRepair:
    """Repair a partition that a check found to differ. Idempotent.

    Raises:
        StorageError: A store cannot be used; repairing again goes on where this stopped.
    """
    partition = Partition(check.dataset, check.period, check.partition)
    dataset, period, window = check.dataset, check.period, partition_window(partition)
    kept = lake.set_aside_if_corrupt(partition)
    in_sql = warehouse.read_bars(dataset, period, window=window)
    in_lake = None
    lost: set[date] = set()
    if (lake.root / partition.path).exists():
        in_lake = lake.read_partition(partition)
    else:
        # Before the file is there again: from then on nothing would show that it was ever gone.
        lost = set(exchange_calendar().sessions_in(window)) - _sessions(in_sql)
    series = forget_coverage(database, dataset.value, period.value, lost)
    written = lake.write(dataset, period, in_sql)
    into_sql = 0
    if in_lake is not None:
        count = warehouse.write_bars(dataset, period, in_lake)
        into_sql = count.inserted + count.updated
    problem = None
    if in_sql.num_rows or in_lake is not None:
        problem = check_partition(lake, warehouse, partition).problem
    if problem:
        unsettled = _differing(lake, warehouse, partition)
        series = max(series, forget_coverage(database, dataset.value, period.value, unsettled))
        lost |= unsettled
    return PartitionRepair(
        dataset=dataset,
        period=period,
        partition=check.partition,
        into_lake=sum(part.inserted + part.updated for part in written),
        into_sql=into_sql,
        kept=str(kept) if kept else None,
        sessions=tuple(sorted(lost)) if series else (),
        series=series,
        problem=problem,
    )


def _differing(lake: Lake, warehouse: Warehouse, partition: Partition) -> set[date]:
    """Sessions with bars that the merge cannot settle: fetched at one instant, values differ."""
    dataset, period = partition.dataset, partition.period
    one = lake.read_partition(partition)
    other = warehouse.read_bars(dataset, period, window=partition_window(partition))
    if one.num_rows != other.num_rows:
        return _sessions(one) | _sessions(other)  # somebody writes at this moment
    same = pa.scalar(value=True)
    for name in (*VALUE_COLUMNS, "state", "source"):
        left, right = _plain(one[name]), _plain(other[name])
        both_null = pc.and_(pc.is_null(left), pc.is_null(right))
        equal = pc.fill_null(pc.equal(left, right), fill_value=False)
        same = pc.and_(same, pc.or_(equal, both_null))
    return _sessions(one.filter(pc.invert(same)))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _sessions(bars: pa.Table) -> set[date]:
    return set(pc.unique(bars["session"]).to_pylist())
