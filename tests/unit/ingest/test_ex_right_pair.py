"""Ex-rights found in a pair of series: whatever they were, they are found, and nothing else is."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.ex_right_pair import PricePair, ex_rights_of, newest_ex_rights, settled_part
from ingest.source import SchemaDriftError
from market.adjustments import Adjustment, AdjustMethod, ExRight, steps_of
from market.sessions import Window, exchange_calendar

SESSIONS = exchange_calendar().sessions_in(Window(date(2022, 1, 4), date(2024, 12, 31)))
TWENTY_YEARS = exchange_calendar().sessions_in(Window(date(2005, 1, 4), date(2025, 12, 31)))
NAME = "601012.SH"
HFQ, QFQ = Adjustment.HFQ, Adjustment.QFQ


def walk(seed: int, bars: int = 600, start: float = 20.0) -> np.ndarray[tuple[int, int], np.dtype]:
    """Open, high, low, close of a plausible symbol, in cents."""
    draw = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(draw.normal(0, 0.02, bars)))
    opened = close * (1 + draw.normal(0, 0.01, bars))
    top = np.maximum(opened, close) * (1 + abs(draw.normal(0, 0.01, bars)))
    low = np.minimum(opened, close) * (1 - abs(draw.normal(0, 0.01, bars)))
    return np.round(np.column_stack([opened, top, low, close]), 2)


def pair(
    raw: np.ndarray, events: list[ExRight], adjustment: Adjustment, days: Sequence[date] = SESSIONS
) -> PricePair:
    """The series that the upstream would serve."""
    sessions = list(days[: len(raw)])
    steps = steps_of(events, adjustment, AdjustMethod.EASTMONEY)
    line = np.searchsorted(
        [d.toordinal() for d in steps.sessions], [d.toordinal() for d in sessions], side="right"
    )
    slope, intercept = np.array(steps.slopes)[line, None], np.array(steps.intercepts)[line, None]
    return PricePair(sessions, raw, np.floor((slope * raw + intercept) * 100 + 0.5 + 1e-6) / 100)


def event(raw: np.ndarray, place: int, **given_: float) -> ExRight:
    return ExRight(NAME, SESSIONS[place], float(raw[place - 1, 3]), **given_)


@given(
    seed=st.integers(0, 10_000),
    places=st.lists(st.integers(30, 570), min_size=0, max_size=4, unique=True),
    cash=st.lists(st.integers(20, 150), min_size=4, max_size=4),
    bonus=st.lists(st.integers(0, 10), min_size=4, max_size=4),
    adjustment=st.sampled_from([HFQ, QFQ]),
)
def test_every_ex_right_is_found_on_its_session_and_gives_its_reference_price(
    seed: int, places: list[int], cash: list[int], bonus: list[int], adjustment: Adjustment
) -> None:
    """To a cent, or to what a cent of the adjusted prices is worth where they are small."""
    places = [p for p in sorted(places) if all(abs(p - q) >= 30 for q in places if q != p)]
    raw = walk(seed)
    raw = raw * max(1.0, 4 / raw.min())
    raw = np.round(raw, 2)
    events = [
        event(raw, place, cash=c / 100, bonus=b / 10)
        for place, c, b in zip(places, cash, bonus, strict=False)
    ]
    found = ex_rights_of(NAME, pair(raw, events, adjustment), adjustment)
    assert [e.ex_session for e in found] == [e.ex_session for e in events]
    smallest = min(steps_of(events, adjustment, AdjustMethod.EASTMONEY).slopes)
    for ours, theirs in zip(found, events, strict=True):
        assert ours.previous_close == theirs.previous_close
        assert ours.reference_price == pytest.approx(
            theirs.reference_price, abs=0.011 + 0.01 / smallest
        )


def test_a_rights_issue_is_told_from_a_gift() -> None:
    raw = walk(3)
    events = [event(raw, 200, rights=0.3, rights_price=5.0), event(raw, 400, bonus=0.3)]
    rights, gift = ex_rights_of(NAME, pair(raw, events, HFQ), HFQ)
    assert (rights.bonus, rights.rights) == (0.0, 0.3)
    assert rights.rights_price == pytest.approx(5.0, abs=0.02)
    assert (gift.bonus, gift.rights) == (0.3, 0.0)
    assert gift.cash == pytest.approx(0.0, abs=0.0051)


def test_bars_of_one_price_after_an_ex_right_hide_no_earlier_one() -> None:
    """A limit-up ex-day has one price: which slope it is cannot be told from that bar alone."""
    raw = walk(5)
    raw[-1] = raw[-1, 0]
    events = [event(raw, 300, cash=0.5), event(raw, 599, bonus=1.0, cash=0.3)]
    back = pair(raw, events, HFQ)
    settled = settled_part(back)
    assert settled.sessions[-1] == SESSIONS[598]
    assert ex_rights_of(NAME, settled, HFQ) == events[:1]
    (newest,) = newest_ex_rights(NAME, pair(raw, events, QFQ).cut(300), SESSIONS[600])
    assert (newest.ex_session, newest.bonus) == (events[1].ex_session, 1.0)
    assert newest.reference_price == pytest.approx(events[1].reference_price, abs=0.0101)


def test_an_ex_right_without_a_bar_yet_is_found_in_forward_adjusted_prices() -> None:
    raw = walk(7)
    events = [event(raw, 300, cash=0.5), event(raw, 600, bonus=0.4, cash=0.25)]
    (newest,) = newest_ex_rights(NAME, pair(raw, events, QFQ).cut(300), SESSIONS[600])
    assert (newest.ex_session, newest.bonus) == (SESSIONS[600], 0.4)
    assert newest.reference_price == pytest.approx(events[1].reference_price, abs=0.0101)


def test_prices_that_are_no_straight_lines_are_refused_by_name() -> None:
    """Another kind of adjustment would otherwise be read as hundreds of ex-rights."""
    raw = walk(9)
    wild = np.round(raw * np.exp(np.linspace(0, 3, len(raw)))[:, None], 2)
    with pytest.raises(SchemaDriftError, match=r"601012\.SH are no straight lines"):
        ex_rights_of(NAME, PricePair(list(SESSIONS[:600]), raw, wild), HFQ)


def test_two_ex_rights_of_the_last_days_are_both_found() -> None:
    """One with a single bar after it, one that no bar has yet."""
    raw = walk(13)
    events = [
        event(raw, 300, cash=0.5),
        event(raw, 599, bonus=0.5),
        event(raw, 600, cash=0.3),
    ]
    back = settled_part(pair(raw, events[:2], HFQ))
    assert ex_rights_of(NAME, back, HFQ) == events[:1]
    newest = newest_ex_rights(NAME, pair(raw, events, QFQ).cut(300), SESSIONS[600])
    assert [e.ex_session for e in newest] == [e.ex_session for e in events[1:]]
    assert [e.bonus for e in newest] == [0.5, 0.0]


def test_no_ex_right_is_found_where_there_was_none() -> None:
    raw = walk(11)
    none = PricePair(list(SESSIONS[:600]), raw, raw)
    assert ex_rights_of(NAME, none, HFQ) == ex_rights_of(NAME, none, QFQ) == []
    assert settled_part(none) is none
    assert newest_ex_rights(NAME, none, SESSIONS[600]) == []


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_twenty_years_with_an_ex_right_each_show_no_more_than_these(seed: int) -> None:
    """Slopes with many digits use the whole width of a cent, which must not look like two lines."""
    raw = walk(seed, bars=5000, start=40.0)
    raw = np.round(raw * max(1.0, 4 / raw.min()), 2)
    places = range(200, 5000, 240)
    events = [
        ExRight(
            NAME,
            TWENTY_YEARS[place],
            float(raw[place - 1, 3]),
            cash=0.2 + 0.013 * i,
            bonus=0.3 if i % 4 == 0 else 0.0,
        )
        for i, place in enumerate(places)
    ]
    found = ex_rights_of(NAME, pair(raw, events, HFQ, TWENTY_YEARS), HFQ)
    assert [e.ex_session for e in found] == [e.ex_session for e in events]
    for ours, theirs in zip(found, events, strict=True):
        assert ours.reference_price == pytest.approx(theirs.reference_price, abs=0.0101)
        assert ours.bonus == theirs.bonus
