"""What ``quantsync klines`` reads with: any period, as of any instant."""

from datetime import datetime
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer

from market.aggregation import AGGREGATED_FROM, Evidence
from market.bars import Dataset
from market.clock import EXCHANGE_TZ, SystemClock, in_shanghai, parse_instant
from market.errors import UsageError
from market.periods import Period
from market.sessions import Window
from pipeline.runtime import Runtime
from storage.as_of import REPLACED_AT, AsOf, replaced_bars
from storage.coverage import read_coverage_of
from storage.queries import KLINE_COLUMNS, BarReader

AnyPeriod = Annotated[
    str,
    typer.Option(
        "--period", help="daily, 5m or 1m; weekly, monthly, 15m, 30m, 60m are aggregated."
    ),
]


AsOfText = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="INSTANT",
        help="As the bars were known then, 2025-12-31T12:30 (Shanghai time).",
    ),
]
Revisions = Annotated[
    bool, typer.Option("--revisions", help="The bars that others took the place of, instead.")
]

REVISION_COLUMNS = (*KLINE_COLUMNS, "state", "fetched_at", REPLACED_AT)


def read_instant(text: str | None) -> datetime | None:
    """Read the instant of ``--as-of``.

    Raises:
        UsageError: Not an instant, a day without a time, or in the future.
    """
    if text is None:
        return None
    try:
        instant = in_shanghai(parse_instant(text.strip()))
    except ValueError:
        raise UsageError(
            f"--as-of {text!r} is not an instant: write it as 2025-12-31T12:30, in a year from "
            "1900 to 2999"
        ) from None
    if len(text.strip()) <= len("2025-12-31"):
        raise UsageError(f"--as-of {text} is a day: say the time too, {text.strip()}T15:05")
    now = SystemClock().now()
    if instant > now:
        raise UsageError(
            f"--as-of {text} is in the future: it is {now:%Y-%m-%d %H:%M:%S} in Shanghai"
        )
    return instant


def reader_for(runtime: Runtime, as_of: datetime | None) -> BarReader:
    """Where bars are read: the lake, or the stores as they were."""
    return runtime.lake if as_of is None else AsOf(runtime.lake, runtime.database, as_of)


def evidence_for(
    runtime: Runtime, dataset: Dataset, name: str, period: Period, as_of: datetime | None
) -> Evidence | None:
    """What is known of the parts of a symbol's (or board's) aggregated bars; None for others.

    Coverage is known of the present only.
    """
    source = AGGREGATED_FROM.get(period)
    if source is None:
        return None
    covered = None
    if as_of is None:
        held = read_coverage_of(runtime.database, dataset.value, source.value, name)
        covered = {name: held.ranges}
    return Evidence(
        as_of or SystemClock().now(),
        settled_at=runtime.settings.settled_at,
        covered=covered,
        calendar=runtime.calendar,
    )


def read_replaced(
    runtime: Runtime, dataset: Dataset, name: str, period: Period, window: Window | None
) -> pa.Table:
    """The bars of a symbol (or board) that others took the place of, instants in Shanghai time.

    Raises:
        UsageError: Bars of the period are aggregated on read.
    """
    source = AGGREGATED_FROM.get(period)
    if source is not None:
        raise UsageError(
            f"{period.value} bars are aggregated on read and have no revisions of their own: ask "
            f"for those of {source.value} bars"
        )
    bars = replaced_bars(
        runtime.lake, runtime.database, dataset, period, names=[name], window=window
    ).select(list(REVISION_COLUMNS))
    for column in ("fetched_at", REPLACED_AT):
        local = bars[column].cast(pa.timestamp("us", tz=str(EXCHANGE_TZ)))
        bars = bars.set_column(bars.schema.get_field_index(column), column, local)
    return bars.set_column(
        bars.schema.get_field_index("state"), "state", bars["state"].cast(pa.string())
    )


def instants_as_text(bars: pa.Table) -> pa.Table:
    """Columns of instants as Shanghai clock time, ``2025-12-31 12:23:05``, for people."""
    for at, field in enumerate(bars.schema):
        if pa.types.is_timestamp(field.type):
            seconds = pc.cast(pc.local_timestamp(bars[field.name]), pa.timestamp("s"), safe=False)
            text = pc.strftime(seconds, format="%Y-%m-%d %H:%M:%S")
            bars = bars.set_column(at, field.name, text)
    return bars


def what_to_sync(period: Period) -> str:
    """Which period is to be synchronised to have bars of one, as the end of a sentence."""
    source = AGGREGATED_FROM.get(period)
    if source is None:
        return "`quantsync sync` fetches them, `quantsync status` says what is held"
    return (
        f"they are aggregated from {source.value} bars: `quantsync sync --period {source.value}` "
        "fetches those, `quantsync status` says what is held"
    )
