"""How ``quantsync klines`` adjusts prices, and what it says of ex-rights that it cannot know."""

from datetime import date, datetime
from typing import Annotated, TypedDict

import pyarrow as pa
import pyarrow.compute as pc
import typer

from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.bars import Dataset
from market.errors import UsageError
from pipeline import output
from pipeline.runtime import Runtime
from storage.coverage import read_coverage
from storage.run_records import Work

AdjustmentName = Annotated[
    str, typer.Option("--adjust", help="none; qfq: today's prices stay; hfq: the first ones do.")
]
MethodName = Annotated[
    str,
    typer.Option(
        "--method", help="ratio: returns stay true; eastmoney: as Eastmoney and AKShare show it."
    ),
]


class Adjusting(TypedDict, total=False):
    """Arguments of :func:`storage.queries.klines`."""

    adjust: Adjustment
    method: AdjustMethod
    events: list[ExRight]


def read_adjusting(
    runtime: Runtime,
    dataset: Dataset,
    name: str,
    adjust: str,
    method: str,
    as_of: datetime | None = None,
) -> Adjusting:
    """How bars are to be adjusted, and by which ex-rights.

    Raises:
        UsageError: No such adjustment or method; or a board, which has no ex-rights.
    """
    if adjust not in list(Adjustment):
        raise UsageError(f"--adjust {adjust!r}: use none, qfq or hfq")
    if method not in list(AdjustMethod):
        raise UsageError(f"--method {method!r}: use ratio or eastmoney")
    if Adjustment(adjust) is Adjustment.NONE:
        return {}
    if dataset is not Dataset.KLINE:
        raise UsageError(
            f"--adjust {adjust}: {name} is a board, its points are not adjusted; leave it out"
        )
    return {
        "adjust": Adjustment(adjust),
        "method": AdjustMethod(method),
        "events": runtime.ex_rights.read([name], as_of=as_of),
    }


def note_unknown_events(
    runtime: Runtime, name: str, bars: pa.Table, wanted: Adjusting, as_of: datetime | None = None
) -> None:
    """Say on stderr which of the adjusted bars lie outside what is, or then was, known."""
    if not wanted:
        return
    if as_of is not None:
        _note_recorded_later(runtime, name, wanted["events"], as_of)
    known = read_coverage(runtime.database, Work.EX_RIGHT.value, "session").get(name)
    first, last = (end(bars["end_at"]).as_py().date() for end in (pc.min, pc.max))
    remedy = f"`quantsync sync stocks --symbols {name}` fetches them"
    if known is None:
        count = len(wanted["events"])
        output.messages.print(
            f"the ex-rights of {name} are not known to be complete ({count or 'none'} recorded): "
            "the upstream was not asked yet, or could not say; prices before one that is missing "
            f"are not adjusted; {remedy}"
        )
        return
    since, until = known.ranges[0].start, known.ranges[-1].end
    _note_beyond(name, (first, last), (since, until), remedy)


def _note_recorded_later(
    runtime: Runtime, name: str, known: list[ExRight], as_of: datetime
) -> None:
    """Say which ex-rights had happened by an instant, and were recorded or corrected after it."""
    changed = set(known) ^ set(runtime.ex_rights.read([name]))
    late = sorted({e.ex_session for e in changed if e.ex_session <= as_of.date()})
    if late:
        output.messages.print(
            f"{output.counted(len(late), 'ex-right')} of {name} from {late[0]} to {late[-1]} had "
            f"happened by {as_of:%Y-%m-%d %H:%M:%S} and became known, or other, only later: these "
            "prices are adjusted by what was known then"
        )


def _note_beyond(name: str, bars: tuple[date, date], known: tuple[date, date], remedy: str) -> None:
    (first, last), (since, until) = bars, known
    if first < since or last > until:
        output.messages.print(
            f"the ex-rights of {name} are known from {since} to {until}, and the bars reach from "
            f"{first} to {last}: an ex-right outside would not show; {remedy}"
        )
