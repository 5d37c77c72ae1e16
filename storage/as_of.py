"""The stores as they were: which bars were known at an instant, and what took whose place.

Every bar carries when it was fetched, and the warehouse keeps those that do not stand any more. So
the bars that stood at an instant are those that the fetches up to it leave when they meet by the
rule of :mod:`storage.merging`, in whatever order they arrived in truth. Of what no longer can be
told apart this says the earlier: values are known from their first fetch on, an ``open`` or
``turnover_rate`` that was filled in later from the fetch it was filled into.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from market.bars import FETCHED_AT_TYPE, VALUE_COLUMNS, BarState, Dataset, bar_schema
from market.clock import in_shanghai
from market.periods import Period
from market.sessions import Window
from storage.database import Database
from storage.lake import Lake
from storage.merging import NULLABLE_COLUMNS, one_per_key
from storage.revisions import read_revisions
from storage.warehouse import Warehouse

REPLACED_AT = "replaced_at"
"""When the bar that took the place of another one was fetched, UTC."""

_Row = dict[str, Any]


class AsOf:
    """Reads bars as they stood at an instant; a bar fetched later is not there.

    Args:
        lake: Parquet, which has all bars that stand.
        database: SQL, which has the others too.
        instant: Up to when fetches count; this instant included.

    Raises:
        ValueError: The instant has no time zone.
    """

    def __init__(self, lake: Lake, database: Database, instant: datetime) -> None:
        self._lake, self._database = lake, database
        self._instant = pa.scalar(in_shanghai(instant), FETCHED_AT_TYPE)

    def read(
        self,
        dataset: Dataset,
        period: Period,
        *,
        names: Collection[str] | None = None,
        window: Window | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Bars of some symbols (or boards) in a closed window, sorted by key.

        Args:
            dataset: Whose bars.
            period: Length of the bars.
            names: Symbols or boards; None: all.
            window: Sessions; None: all.
            columns: Which columns, in this order; None: all.

        Raises:
            CorruptFileError: A partition is no readable Parquet file.
            StorageError: The database cannot be used.
        """
        kept = read_revisions(self._database, dataset, period, names=names, window=window)
        standing = _standing(self._lake, self._database, dataset, period, names, window)
        versions = pa.concat_tables([*standing, kept])
        known = versions.filter(pc.less_equal(versions["fetched_at"], self._instant))
        return one_per_key(dataset, known).select(columns or bar_schema(dataset).names)


def replaced_bars(
    lake: Lake,
    database: Database,
    dataset: Dataset,
    period: Period,
    *,
    names: Collection[str] | None = None,
    window: Window | None = None,
) -> pa.Table:
    """Bars that stood until different ones, or final ones, took their place.

    Returns:
        The dataset's columns and ``replaced_at`` (UTC), sorted by key and time of fetch.

    Raises:
        CorruptFileError: A partition is no readable Parquet file.
        StorageError: The database cannot be used.
    """
    kept = read_revisions(database, dataset, period, names=names, window=window)
    standing = [
        bars.filter(pc.is_in(bars["end_at"], kept["end_at"].combine_chunks()))
        for bars in _standing(lake, database, dataset, period, names, window)
    ]

    def key(row: _Row) -> tuple[str, datetime]:
        return row[dataset.key], row["end_at"]

    rows = pa.concat_tables([*standing, kept]).to_pylist()
    rows.sort(key=lambda row: (*key(row), row["state"] == BarState.FINAL, row["fetched_at"]))
    schema = bar_schema(dataset).append(pa.field(REPLACED_AT, FETCHED_AT_TYPE, nullable=False))
    found = [row for _, versions in groupby(rows, key) for row in _succession(versions)]
    return pa.Table.from_pylist(found, schema=schema)


def _standing(
    lake: Lake,
    database: Database,
    dataset: Dataset,
    period: Period,
    names: Collection[str] | None,
    window: Window | None,
) -> list[pa.Table]:
    """The bars that stand, of both stores: a crash may have kept the newest ones from SQL."""
    warehouse = Warehouse(database)
    return [
        lake.read(dataset, period, names=names, window=window),
        warehouse.read_bars(dataset, period, names=names, window=window),
    ]


def _succession(versions: Iterator[_Row]) -> Iterator[_Row]:
    """All but the last of the bars of one key that stood one after the other.

    Args:
        versions: Of one key, in ascending rank.
    """
    stood: list[_Row] = []
    for row in versions:
        if stood:
            for name in NULLABLE_COLUMNS:
                row[name] = stood[-1][name] if row[name] is None else row[name]
            if _agree(stood[-1], row):
                stood[-1] |= {name: row[name] for name in NULLABLE_COLUMNS}
                continue
        # Fetched no earlier than what outranks it: it never stood.
        while stood and stood[-1]["fetched_at"] >= row["fetched_at"]:
            stood.pop()
        stood.append(row)
    for before, after in pairwise(stood):
        yield {**before, REPLACED_AT: after["fetched_at"]}


def _agree(one: _Row, other: _Row) -> bool:
    """Whether state and all values are equal, those left aside that one does not know."""
    return one["state"] == other["state"] and all(
        one[name] == other[name] or (name in NULLABLE_COLUMNS and None in (one[name], other[name]))
        for name in VALUE_COLUMNS
    )
