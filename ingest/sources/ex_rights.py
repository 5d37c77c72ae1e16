"""Ex-rights of one symbol, found in what the upstream serves, and held against each other.

The unadjusted and the back-adjusted bars say all but the newest one precisely. Where that is too
young to be measured, or is of a session that has no final bar yet, the forward-adjusted bars say
it: all the bars before it are moved by it.
"""

from bisect import bisect_left
from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.ex_right_pair import PricePair, ex_rights_of, newest_ex_rights, settled_part
from ingest.source import (
    Bars,
    FoundExRights,
    InconsistentError,
    NotServedError,
    SchemaDriftError,
    UnknownSymbolError,
)
from market.adjustments import Adjustment, AdjustMethod, ExRight, InvalidExRightError, steps_of
from market.bars import PRICE_COLUMNS, BarState
from market.sessions import Window

Fetch = Callable[[Adjustment, Window], Bars]
"""Daily bars of the symbol."""

_FIRST_SESSION = date(1990, 12, 19)
_CENT = 0.0101
_CLOSE = 3


def find_ex_rights(
    symbol: str,
    session: date,
    fetch: Fetch,
    reference: float | None,
    held: pa.Table | None = None,
) -> FoundExRights:
    """All ex-rights of a symbol; two requests, or three if the newest is young.

    One request where ``held`` and ``reference`` tell the session's alone.

    Bars that are not final are left out: two requests would see two states of them.

    Args:
        symbol: ``600519.SH``.
        session: The latest session that has begun.
        fetch: Sends one request.
        reference: Previous close of the session by the symbol list, if that shows an ex-right: the
            ex-rights must explain it.
        held: Final raw daily bars up to the session before, where all ex-rights until then are
            known.

    Raises:
        NotServedError: There are bars, and no adjusted ones.
        InconsistentError: The answers contradict each other or the list; nothing is taken.
        SourceError: Typed by cause.
    """
    if held is not None and held.num_rows and reference is not None:
        recent = fetch(Adjustment.QFQ, Window(held["session"][0].as_py(), session))
        found = _ex_right_on(symbol, session, held, recent, reference)
        if found is not None:
            return found
    ever = Window(_FIRST_SESSION, session)
    raw = _final(fetch(Adjustment.NONE, ever))
    if not raw.num_rows:
        return FoundExRights((), None, None)
    pair = _pair(symbol, raw, _adjusted(symbol, fetch, Adjustment.HFQ, ever))
    settled = settled_part(pair)
    events = ex_rights_of(symbol, settled, Adjustment.HFQ)
    if reference is not None or settled is not pair:
        forward = _pair(symbol, raw, _adjusted(symbol, fetch, Adjustment.QFQ, ever))
        first = bisect_left(pair.sessions, events[-1].ex_session) if events else 0
        events += newest_ex_rights(symbol, forward.cut(first), session)
    _check_bars(symbol, pair, events)
    if reference is not None:
        _check_reference(symbol, session, pair, events, reference)
    until = session if reference is not None else pair.sessions[-1]
    if events:
        until = max(until, events[-1].ex_session)
    return FoundExRights(tuple(events), pair.sessions[0], until)


def _ex_right_on(
    symbol: str, session: date, held: pa.Table, forward: Bars, reference: float
) -> FoundExRights | None:
    """The ex-right of one session, from bars that are held and forward-adjusted ones.

    Args:
        symbol: ``600519.SH``.
        session: The session whose previous close shows it.
        held: Final raw daily bars up to the session before, ascending.
        forward: Forward-adjusted daily bars from the first of ``held`` on.
        reference: The session's previous close by the symbol list.

    Returns:
        None where the two do not explain the reference price: all prices must be asked for.
    """
    adjusted = forward.table.filter(pc.less(forward.table["session"], pa.scalar(session)))
    sessions = held["session"].to_pylist()
    if adjusted["session"].to_pylist() != sessions:
        return None
    pair = PricePair(sessions, _prices(held), _prices(adjusted))
    try:
        newest = newest_ex_rights(symbol, pair, session)[-1:]
        if not newest or newest[0].ex_session != session:
            return None
        _check_reference(symbol, session, pair, newest, reference)
    except (InconsistentError, SchemaDriftError, InvalidExRightError):
        return None
    return FoundExRights(tuple(newest), sessions[-1], session, whole=False)


def _final(bars: Bars) -> pa.Table:
    return bars.table.filter(pc.equal(bars.table["state"], BarState.FINAL.value))


def _adjusted(symbol: str, fetch: Fetch, adjustment: Adjustment, window: Window) -> pa.Table:
    try:
        return _final(fetch(adjustment, window))
    except UnknownSymbolError as error:
        raise NotServedError(
            f"the upstream has bars of {symbol} and no {adjustment.value} prices: its ex-rights "
            "cannot be known",
            {"symbol": symbol},
        ) from error


def _pair(symbol: str, raw: pa.Table, adjusted: pa.Table) -> PricePair:
    sessions = raw["session"].to_pylist()
    if adjusted["session"].to_pylist() != sessions:
        raise InconsistentError(
            f"the raw and the adjusted bars of {symbol} are not of the same sessions: they were "
            "served in two states; the next sync asks again",
            {"symbol": symbol},
        )
    return PricePair(sessions, _prices(raw), _prices(adjusted))


def _prices(bars: pa.Table) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    return np.column_stack([bars[name].to_numpy() for name in PRICE_COLUMNS])


def _check_bars(symbol: str, pair: PricePair, events: list[ExRight]) -> None:
    """Hold the ex-rights against every bar they were found in."""
    steps = steps_of(events, Adjustment.HFQ, AdjustMethod.EASTMONEY)
    line = np.searchsorted(
        np.array([day.toordinal() for day in steps.sessions]),
        np.array([day.toordinal() for day in pair.sessions]),
        side="right",
    )
    slope, intercept = np.array(steps.slopes)[line, None], np.array(steps.intercepts)[line, None]
    # Cash that was measured in forward-adjusted prices is known to half a cent.
    off = np.abs(slope * pair.raw + intercept - pair.adjusted) > _CENT + 0.0051 * slope
    if off.any():
        bad = int(off.any(axis=1).argmax())
        raise InconsistentError(
            f"the ex-rights found for {symbol} do not give its hfq prices of "
            f"{pair.sessions[bad]}: the upstream contradicts itself, nothing was taken",
            {"symbol": symbol, "session": pair.sessions[bad]},
        )


def _check_reference(
    symbol: str, session: date, pair: PricePair, events: list[ExRight], reference: float
) -> None:
    """Hold the newest ex-right against the reference price that the symbol list shows."""
    last = bisect_left(pair.sessions, session) - 1
    newest = events[-1] if events else None
    if newest is not None and newest.ex_session == session:
        expected = newest.reference_price
    else:
        expected = float(pair.raw[last, _CLOSE]) if last >= 0 else reference
    if abs(expected - reference) > _CENT:
        raise InconsistentError(
            f"the list of {session} gives {reference:.2f} as previous close of {symbol}, its "
            f"prices and ex-rights give {expected:.2f}: a bar or an ex-right is wrong, nothing "
            "was taken",
            {"symbol": symbol, "session": session},
        )
