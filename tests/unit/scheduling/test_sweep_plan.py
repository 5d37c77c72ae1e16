"""Whose bar a sweep of quotes settles: each reason to fetch a symbol singly, alone."""

from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa
import pytest

from market.clock import EXCHANGE_TZ
from market.quotes import QUOTES_SCHEMA
from market.sessions import Window
from scheduling.sweep_plan import SweepPlan, plan_sweep
from storage.coverage import Coverage
from storage.held import LastBar

FIRST, BEFORE, DAY = date(2025, 12, 1), date(2025, 12, 30), date(2025, 12, 31)
NAMES = ("600519.SH", "000001.SZ", "300750.SZ", "688981.SH")
CLOSE, VOLUME = 10.0, 1_000


def quote(name: str, **other: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(QUOTES_SCHEMA.names)
    row |= {"symbol": name, "name": name, "suspended": False, "close": 10.5, "volume": 2_000}
    return row | {"previous_close": CLOSE} | other


def plan(quotes: Sequence[dict[str, object]], **other: object) -> SweepPlan:
    known = {
        "session": DAY,
        "before": BEFORE,
        "sound": [True] * len(quotes),
        "held": {name: LastBar(BEFORE, CLOSE, VOLUME) for name in NAMES},
        "coverage": {name: Coverage((Window(FIRST, BEFORE),)) for name in NAMES},
        "lacking": (),
        "listed_on": {},
    }
    table = pa.Table.from_pylist(list(quotes), schema=QUOTES_SCHEMA)
    return plan_sweep(table, **{**known, **other})  # type: ignore[arg-type]


def all_but_first(**other: object) -> SweepPlan:
    """A plan where the first of the symbols is odd."""
    return plan([quote(NAMES[0], **other), *(quote(name) for name in NAMES[1:])])


def test_what_continues_the_bars_held_is_taken() -> None:
    """Covered up to the session before, and the same close."""
    assert plan([quote(name) for name in NAMES]) == SweepPlan(bars=NAMES)


@pytest.mark.parametrize(
    "odd",
    [
        {"previous_close": 9.98},
        {"previous_close": None},
        {"quoted_at": datetime(2025, 12, 30, 15, 0, tzinfo=EXCHANGE_TZ)},
    ],
    ids=["ex-right or another bar", "no reference", "a quote of the session before"],
)
def test_a_doubtful_quote_is_left_to_a_single_fetch(odd: dict[str, object]) -> None:
    """The others are taken all the same."""
    assert all_but_first(**odd) == SweepPlan(bars=NAMES[1:])


def test_a_symbol_with_a_session_missing_or_never_fetched_is_left() -> None:
    """A bar must not be put after a hole."""
    holes = {NAMES[0]: Coverage((Window(FIRST, date(2025, 12, 29)),)), NAMES[1]: Coverage(())}
    whole = {name: Coverage((Window(FIRST, BEFORE),)) for name in NAMES[2:]}

    found = plan([quote(name) for name in NAMES], coverage={**holes, **whole})

    assert found == SweepPlan(bars=NAMES[2:])


@pytest.mark.parametrize("other", [{}, {"suspended": True, "close": None, "volume": None}])
def test_a_symbol_that_lacks_an_earlier_session_of_the_window_is_left(
    other: dict[str, object],
) -> None:
    """Its fetch spans the hole and this session: a bar taken here would hide the hole for ever."""
    quotes = [quote(NAMES[0], **other), *(quote(name) for name in NAMES[1:])]

    assert plan(quotes, lacking={NAMES[0]}) == SweepPlan(bars=NAMES[1:])


def test_a_symbol_that_breaks_a_rule_or_was_not_held_is_left() -> None:
    """Its single fetch goes through validation, and is quarantined with reasons."""
    held = {name: LastBar(BEFORE, CLOSE, VOLUME) for name in NAMES[:3]}

    found = plan([quote(name) for name in NAMES], sound=[False, True, True, True], held=held)

    assert found == SweepPlan(bars=NAMES[1:3])


def test_no_trade_after_covered_sessions_is_a_finding() -> None:
    """Nothing is asked of a suspended symbol."""
    idle = {"suspended": True, "close": None, "volume": None}

    assert all_but_first(**idle) == SweepPlan(bars=NAMES[1:], idle=NAMES[:1])


def test_quotes_that_were_reset_before_the_open_prove_no_suspension() -> None:
    """Nobody has traded yet."""
    idle = {"suspended": True, "close": None, "volume": None}

    assert plan([quote(name, **idle) for name in NAMES]) == SweepPlan()


@pytest.mark.parametrize("said_by", ["quote", "list"])
def test_a_symbol_listed_today_has_nothing_before_it(said_by: str) -> None:
    """By the quote's own listing day, or because the list of the session before did not name it."""
    new = "301581.SZ"
    quotes = [quote(new, listed_on=DAY if said_by == "quote" else None), quote(NAMES[0])]

    found = plan(quotes, listed_on={new: DAY} if said_by == "list" else {})

    assert found == SweepPlan(bars=(new, NAMES[0]), new=(new,))


def test_a_list_that_repeats_the_session_before_gives_no_bar_at_all() -> None:
    """Without an instant in the quotes this is the only sign of it."""
    stale = [quote(name, close=CLOSE, volume=VOLUME) for name in NAMES[:3]]

    found = plan([*stale, quote(NAMES[3])])

    assert (found.bars, found.idle) == ((), ())
    assert "3 of 4 quotes repeat the bars of 2025-12-30" in found.notices[0]
