"""What a whole answer proves: the outcome of a fetch, and the sessions it makes complete."""

from dataclasses import replace
from datetime import date, timedelta

import pyarrow.compute as pc

from ingest.source import Bars, EmptyBoardError, Outcome, UnknownSymbolError
from ingest.validation import Verdict
from market.bars import BarState
from market.boards import BoardKind
from market.periods import Period
from market.sessions import SESSION_CLOSE, TradingCalendar, bar_end
from storage.catalog import Catalog
from storage.run_records import Item, OutcomeRow


def bars_proof(
    item: Item, period: Period, bars: Bars, verdict: Verdict, calendar: TradingCalendar
) -> OutcomeRow:
    """The outcome of a kline fetch that was answered.

    A whole answer proves every session from the start of the window to its last final bar: the
    upstream leaves out the sessions a symbol did not trade. After the last bar nothing is proven,
    for a missing bar there may only be late, unless the list of that session shows no trade.
    A rejected row ends the proof at the session before it. An answer that vouches for a part of the
    window only proves that part.
    """
    if bars.since is not None and item.start is not None:
        item = replace(item, start=max(item.start, bars.since))
    complete = _complete_to(period, verdict)
    if complete is None and not verdict.rejected.num_rows and not verdict.accepted.num_rows:
        return _empty(item, bars)
    assert item.start is not None
    assert item.end is not None
    if complete is not None and _trailing_suspension(item, complete):
        complete = item.suspended_on
    bad_from = pc.min(verdict.rejected["session"]).as_py() if verdict.rejected.num_rows else None
    if complete is not None and bad_from is not None and bad_from <= complete:
        complete = _session_before(bad_from, calendar)
    proven = complete is not None and complete >= item.start
    outcome, reason = Outcome.OK, None
    if verdict.rejected.num_rows:
        outcome = Outcome.INVALID
        faults = ", ".join(f"{n} × {name}" for name, n in sorted(verdict.reasons.items()))
        reason = (
            f"{verdict.rejected.num_rows} of {bars.table.num_rows} bars break an invariant "
            f"({faults}), the first on {bad_from}: they are in quarantine, not in the stores "
            f"(`quantsync quarantine list {item.subject}`)"
        )
    return OutcomeRow(
        item.subject,
        outcome.value,
        reason,
        rows=verdict.accepted.num_rows,
        covered_from=item.start if proven else None,
        covered_to=min(complete, item.end) if proven and complete is not None else None,
    )


def _complete_to(period: Period, verdict: Verdict) -> date | None:
    """The last session whose final bars are all there: for minutes, the 15:00 bar included."""
    bars = verdict.accepted.select(("session", "end_at", "state"))
    is_final = pc.equal(bars["state"], BarState.FINAL.value)
    final = bars if pc.all(is_final).as_py() else bars.filter(is_final)
    if period.is_intraday and final.num_rows:
        last = pc.max(final["end_at"]).as_py()
        session: date = last.date()
        if last < bar_end(session, SESSION_CLOSE):
            final = final.filter(pc.less(final["session"], session))
    complete: date | None = pc.max(final["session"]).as_py()
    return complete


def _session_before(day: date, calendar: TradingCalendar) -> date | None:
    """The session before a day, which need not be one; None before the first."""
    if not calendar.first_session < day <= calendar.last_session:
        return calendar.last_session if day > calendar.last_session else None
    return calendar.session_on_or_before(day - timedelta(days=1))


def _trailing_suspension(item: Item, complete: date) -> bool:
    assert item.end is not None
    return item.suspended_on is not None and complete < item.suspended_on <= item.end


def _empty(item: Item, bars: Bars) -> OutcomeRow:
    """No bars in the window, with the reason."""
    assert item.start is not None
    assert item.end is not None
    suspended_on = item.suspended_on
    suspended = suspended_on is not None and item.start <= suspended_on
    if item.listed is False:
        reason = "the latest list no longer names it, and the window holds no bars"
        return OutcomeRow(item.subject, Outcome.DELISTED.value, reason)
    if suspended and suspended_on is not None and (item.held or bars.history):
        reason = f"no trade up to {suspended_on}, by the symbol list of that session"
        return OutcomeRow(
            item.subject,
            Outcome.EMPTY_SUSPENDED.value,
            reason,
            covered_from=item.start,
            covered_to=min(suspended_on, item.end),
        )
    if bars.history is None:
        reason = "the upstream gave no bars and nothing that proves there are none"
        return OutcomeRow(item.subject, Outcome.THROTTLED.value, reason)
    if item.held:
        reason = f"no bars in the window; the upstream holds {bars.history} of it, none of these"
        return OutcomeRow(item.subject, Outcome.EMPTY_SUSPENDED.value, reason)
    reason = f"not listed within the window; the upstream holds {bars.history} bars outside it"
    return OutcomeRow(item.subject, Outcome.EMPTY_NOT_LISTED.value, reason)


def empty_board(
    catalog: Catalog, kind: BoardKind, item: Item, error: EmptyBoardError, session: date
) -> OutcomeRow:
    """The outcome of an answer that a board has no members.

    It is believed of a board that is listed and of which no members are held: the upstream says the
    same of a board that does not exist, and of one whose list it has lost.

    Raises:
        UnknownSymbolError: It is not believed; whatever is held stays.
    """
    if item.subject not in {board.code for board in catalog.boards(kind)}:
        raise UnknownSymbolError(
            f"{error.message}: no list of {kind.value} boards names it either", error.context
        )
    held = len(catalog.members(item.subject, date.max).members)
    if held:
        raise UnknownSymbolError(
            f"{error.message}, and {held} are held: the last good list stays", error.context
        )
    reason = f"the board is listed, and {error.message}"
    return OutcomeRow(
        item.subject,
        Outcome.EMPTY_BOARD.value,
        reason,
        covered_from=session,
        covered_to=session,
    )
