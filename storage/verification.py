"""Whether Parquet and SQL hold the same bars, partition by partition."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from market.bars import Dataset
from market.periods import FETCHED_PERIODS, Period
from market.sessions import Window, exchange_calendar
from storage.coverage import join_ranges, read_coverage
from storage.database import Database
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
        minutes_from: SQL keeps minute bars from this session on; of older ones the lake's files are
            read and not compared.
    """
    checks = []
    for dataset, period in KLINE_TABLES:
        if period not in set(periods):
            continue
        for name in _partition_names(lake, warehouse, dataset, period):
            partition = Partition(dataset, period, name)
            window = partition_window(partition)
            if period.is_intraday and minutes_from is not None and window.end < minutes_from:
                if (lake.root / partition.path).exists():
                    checks.append(_check_alone(lake, partition))
                continue
            checks.append(check_partition(lake, warehouse, partition))
    return checks


def find_lost(
    lake: Lake,
    warehouse: Warehouse,
    database: Database,
    *,
    periods: Iterable[Period] = FETCHED_PERIODS,
) -> list[PartitionCheck]:
    """Partitions that coverage calls complete, of whose bars neither store has any left.

    Minute bars leave SQL after a while: if their file is lost then, only coverage still knows of
    them. A partition that never had a file (nothing covered was traded then) is not lost.
    """
    calendar, lost = exchange_calendar(), []
    for dataset, period in KLINE_TABLES:
        if period not in set(periods):
            continue
        series = read_coverage(database, dataset.value, period.value).values()
        ranges = join_ranges([each for held in series for each in held.ranges], calendar)
        covered = {_name(period, day) for each in ranges for day in calendar.sessions_in(each)}
        for name in sorted(covered - set(_partition_names(lake, warehouse, dataset, period))):
            partition = Partition(dataset, period, name)
            if lake.has_lost(partition):
                problem = (
                    "its bars were fetched, and neither Parquet nor SQL holds any of them: "
                    "`quantsync verify --repair` lets the next sync fetch them again"
                )
                lost.append(PartitionCheck(dataset, period, name, 0, 0, "", "", problem))
    return lost


def _name(period: Period, session: date) -> str:
    return session.isoformat() if period.is_intraday else str(session.year)


def _partition_names(
    lake: Lake, warehouse: Warehouse, dataset: Dataset, period: Period
) -> list[str]:
    in_lake = {partition.name for partition in lake.partitions(dataset, period)}
    sessions = warehouse.sessions(dataset, period)
    in_sql = {_name(period, day) for day in sessions}
    return sorted(in_lake | in_sql)


def partition_window(partition: Partition) -> Window:
    """The days whose bars a partition holds."""
    if partition.period.is_intraday:
        day = date.fromisoformat(partition.name)
        return Window(day, day)
    return Window(date(int(partition.name), 1, 1), date(int(partition.name), 12, 31))


def _check_alone(lake: Lake, partition: Partition) -> PartitionCheck:
    """Read a partition whose bars have left SQL."""
    rows, digest, problem = 0, "", None
    try:
        bars = lake.read_partition(partition)
    except CorruptFileError as error:
        problem = error.message
    else:
        rows, digest = bars.num_rows, bars_digest(partition.dataset, bars)
    key = (partition.dataset, partition.period, partition.name)
    return PartitionCheck(*key, rows, 0, digest, "", problem)


def check_partition(lake: Lake, warehouse: Warehouse, partition: Partition) -> PartitionCheck:
    """Compare both stores for one partition.

    Raises:
        StorageError: The database cannot be used.
    """
    dataset, period = partition.dataset, partition.period
    in_sql = warehouse.read_bars(dataset, period, window=partition_window(partition))
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
