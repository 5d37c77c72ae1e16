"""Bars that do not stand any more, as the warehouse keeps them."""

from collections.abc import Collection
from datetime import datetime, time

import pyarrow as pa
from sqlalchemy import Select, select

from market.bars import END_AT_TYPE, FETCHED_AT_TYPE, VALUE_COLUMNS, Dataset, bar_schema
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window
from storage.database import Database
from storage.tables import board, kline_revision, symbol


def read_revisions(
    database: Database,
    dataset: Dataset,
    period: Period,
    *,
    names: Collection[str] | None = None,
    window: Window | None = None,
) -> pa.Table:
    """Bars that others took the place of, in the dataset's schema, by key and time of fetch.

    Args:
        database: Where they are kept.
        dataset: Whose bars.
        period: Length of the bars.
        names: Symbols or boards; None: all.
        window: Closed range of sessions; None: all.

    Raises:
        StorageError: The database cannot be used.
    """
    with database.reading() as connection:
        rows = connection.execute(_query(dataset, period, names, window)).all()
    columns = list(zip(*rows, strict=True)) or [()] * (len(_CARRIED) + 2)
    owners, ends, *carried = columns
    end_at = pa.array(ends, pa.int64()).cast(pa.timestamp("s", tz="UTC")).cast(END_AT_TYPE)
    values = dict(zip(_CARRIED, carried, strict=True))
    fetched_at = pa.array(values["fetched_at"], pa.int64()).cast(FETCHED_AT_TYPE)
    # A bar ends within its session, so the day in Shanghai is the session.
    sessions = [datetime.fromtimestamp(end, EXCHANGE_TZ).date() for end in ends]
    table = {dataset.key: owners, "session": sessions, **values}
    table |= {"end_at": end_at, "fetched_at": fetched_at}
    schema = bar_schema(dataset)
    return pa.table(
        {name: pa.array(table[name], _plain(schema.field(name).type)) for name in schema.names}
    ).cast(schema)


_CARRIED = (*VALUE_COLUMNS, "state", "source", "fetched_at")


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _query(
    dataset: Dataset, period: Period, names: Collection[str] | None, window: Window | None
) -> Select[tuple[object, ...]]:
    owner, code = (symbol, symbol.c.symbol) if dataset is Dataset.KLINE else (board, board.c.code)
    kept = kline_revision.c
    query = (
        select(code, kept.end_at, *(kept[name] for name in _CARRIED))
        .join(owner, owner.c.id == kept.subject_id)
        .where(kept.dataset == dataset.value, kept.period == period.value)
        .order_by(code, kept.end_at, kept.fetched_at)
    )
    if names is not None:
        query = query.where(code.in_(sorted(names)))
    if window is not None:
        first = datetime.combine(window.start, time.min, EXCHANGE_TZ)
        last = datetime.combine(window.end, time.max, EXCHANGE_TZ)
        query = query.where(kept.end_at.between(int(first.timestamp()), int(last.timestamp())))
    return query
