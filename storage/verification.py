"""Whether Parquet and SQL hold the same bars, partition by partition."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from market.bars import Dataset
from market.periods import FETCHED_PERIODS, Period
from market.sessions import Window
from storage.digest import bars_digest
from storage.errors import CorruptFileError
from storage.lake import Lake, Partition
from storage.tables import KLINE_TABLES
from storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """Both stores compared for one partition of the lake.

    Attributes:
        problem: What differs, in a sentence; None if nothing does.
    """

    dataset: Dataset
    period: Period
    partition: str
    lake_rows: int
    warehouse_rows: int
    lake_digest: str
    warehouse_digest: str
    problem: str | None

    @property
    def equal(self) -> bool:
        """Whether count and content are the same."""
        return self.problem is None


def verify(
    lake: Lake,
    warehouse: Warehouse,
    *,
    periods: Iterable[Period] = FETCHED_PERIODS,
    minutes_from: date | None = None,
) -> list[PartitionCheck]:
    """Compare every partition that either store has.

    Args:
        lake: The Parquet side.
        warehouse: The SQL side.
        periods: Which periods.
        minutes_from: SQL keeps minute bars from this session on; older ones are not compared.
    """
    checks = []
    for dataset, period in KLINE_TABLES:
        if period not in set(periods):
            continue
        for name in _partition_names(lake, warehouse, dataset, period):
            window = _window(period, name)
            if period.is_intraday and minutes_from is not None and window.end < minutes_from:
                continue
            checks.append(_check(lake, warehouse, Partition(dataset, period, name), window))
    return checks


def _partition_names(
    lake: Lake, warehouse: Warehouse, dataset: Dataset, period: Period
) -> list[str]:
    in_lake = {partition.name for partition in lake.partitions(dataset, period)}
    sessions = warehouse.sessions(dataset, period)
    in_sql = {day.isoformat() if period.is_intraday else str(day.year) for day in sessions}
    return sorted(in_lake | in_sql)


def _window(period: Period, name: str) -> Window:
    if period.is_intraday:
        return Window(date.fromisoformat(name), date.fromisoformat(name))
    return Window(date(int(name), 1, 1), date(int(name), 12, 31))


def _check(
    lake: Lake, warehouse: Warehouse, partition: Partition, window: Window
) -> PartitionCheck:
    dataset, period = partition.dataset, partition.period
    in_sql = warehouse.read_bars(dataset, period, window=window)
    warehouse_digest = bars_digest(dataset, in_sql)
    lake_rows, lake_digest, problem = 0, "", None
    if not (lake.root / partition.path).exists():
        problem = f"the lake has no such file; SQL holds {in_sql.num_rows} bars"
    else:
        try:
            in_lake = lake.read_partition(partition)
        except CorruptFileError as error:
            problem = error.message
        else:
            lake_rows, lake_digest = in_lake.num_rows, bars_digest(dataset, in_lake)
            if lake_rows != in_sql.num_rows:
                problem = f"{lake_rows} bars in Parquet, {in_sql.num_rows} in SQL"
            elif lake_digest != warehouse_digest:
                problem = f"as many bars ({lake_rows}), but not the same ones"
    return PartitionCheck(
        dataset=dataset,
        period=period,
        partition=partition.name,
        lake_rows=lake_rows,
        warehouse_rows=in_sql.num_rows,
        lake_digest=lake_digest,
        warehouse_digest=warehouse_digest,
        problem=problem,
    )
