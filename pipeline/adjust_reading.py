"""How prices are to be adjusted on read, and what is said of ex-rights that cannot be known."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.bars import Dataset
from market.errors import UsageError
from pipeline.runtime import Runtime
from storage.coverage import read_coverage_of
from storage.run_records import Work


class Adjusting(TypedDict, total=False):
    """Arguments of :func:`storage.queries.klines`."""

    adjust: Adjustment
    method: AdjustMethod
    events: list[ExRight]


def read_adjusting(
    runtime: Runtime,
    dataset: Dataset,
    name: str,
    adjust: Adjustment,
    method: AdjustMethod,
    as_of: datetime | None = None,
) -> Adjusting:
    """How bars are to be adjusted, and by which ex-rights.

    Raises:
        UsageError: A board, which has no ex-rights.
        StorageError: The database cannot be used.
    """
    if adjust is Adjustment.NONE:
        return {}
    check_adjustable(dataset, name, adjust)
    return {
        "adjust": adjust,
        "method": method,
        "events": runtime.ex_rights.read([name], as_of=as_of),
    }


def check_adjustable(dataset: Dataset, name: str, adjust: Adjustment) -> None:
    """Refuse to adjust the points of a board.

    Raises:
        UsageError: It is one.
    """
    if adjust is not Adjustment.NONE and dataset is not Dataset.KLINE:
        raise UsageError(
            f"{name} is a board, its points are not adjusted: leave {adjust.value} out",
            {"symbol": name, "field": "query.adjust"},
        )


def adjust_notices(
    runtime: Runtime, name: str, bars: pa.Table, wanted: Adjusting, as_of: datetime | None = None
) -> Iterator[str]:
    """Which of the adjusted bars lie outside what is, or then was, known: a sentence each.

    Raises:
        StorageError: The database cannot be used.
    """
    if not wanted or not bars.num_rows:
        return
    if as_of is not None:
        yield from _recorded_later(runtime, name, wanted["events"], as_of)
    known = read_coverage_of(runtime.database, Work.EX_RIGHT.value, "session", name)
    first, last = (end(bars["end_at"]).as_py().date() for end in (pc.min, pc.max))
    remedy = f"`quantsync sync stocks --symbols {name}` fetches them"
    if not known.ranges:
        count = len(wanted["events"])
        yield (
            f"the ex-rights of {name} are not known to be complete ({count or 'none'} recorded): "
            "the upstream was not asked yet, or could not say; prices before one that is missing "
            f"are not adjusted; {remedy}"
        )
        return
    since, until = known.ranges[0].start, known.ranges[-1].end
    yield from _beyond(name, (first, last), (since, until), remedy)


def _recorded_later(
    runtime: Runtime, name: str, known: list[ExRight], as_of: datetime
) -> Iterator[str]:
    """Which ex-rights had happened by an instant, and were recorded or corrected after it."""
    changed = set(known) ^ set(runtime.ex_rights.read([name]))
    late = sorted({e.ex_session for e in changed if e.ex_session <= as_of.date()})
    if late:
        many = "1 ex-right" if len(late) == 1 else f"{len(late)} ex-rights"
        yield (
            f"{many} of {name} from {late[0]} to {late[-1]} had "
            f"happened by {as_of:%Y-%m-%d %H:%M:%S} and became known, or other, only later: these "
            "prices are adjusted by what was known then"
        )


def _beyond(
    name: str, bars: tuple[date, date], known: tuple[date, date], remedy: str
) -> Iterator[str]:
    (first, last), (since, until) = bars, known
    if first < since or last > until:
        yield (
            f"the ex-rights of {name} are known from {since} to {until}, and the bars reach from "
            f"{first} to {last}: an ex-right outside would not show; {remedy}"
        )
