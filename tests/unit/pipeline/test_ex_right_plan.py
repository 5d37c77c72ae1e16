"""A symbol list held against the stored closes: who went ex-right, who did not, who may have."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from market.bars import Dataset
from market.boards import SYMBOL_LIST_SCHEMA
from market.periods import Period
from market.sessions import Window
from pipeline.ex_rights import ExRightPlan, close_shows_none, compare
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.coverage import Coverage
from storage.held import LastBar
from storage.run_records import BatchPlan, Item, OutcomeRow, Work
from tests.fixtures.bars import bars_of, daily_bar

BEFORE, SESSION = date(2025, 12, 30), date(2025, 12, 31)
SINCE = date(2015, 1, 5)
NAME = "600519.SH"


def covered(until: date) -> Coverage:
    return Coverage((Window(SINCE, until),))


def row(name: str = NAME, reference: float | None = 10.0, *, suspended: bool = False) -> Any:
    return {
        "symbol": name,
        "name": name,
        "close": None if suspended else reference,
        "previous_close": reference,
        "suspended": suspended,
    }


def plan(rows: list[Any] | None = None, **changes: Any) -> ExRightPlan:
    """The plan for a list in which nothing happened, with changes."""
    rows = rows or [row()]
    names = [each["symbol"] for each in rows]
    facts: dict[str, Any] = {
        "held": dict.fromkeys(names, LastBar(BEFORE, 10.0, 100)),
        "bars": dict.fromkeys(names, covered(BEFORE)),
        "known": dict.fromkeys(names, covered(BEFORE)),
        "with_unknown": True,
    }
    listing = pa.Table.from_pylist(rows, schema=SYMBOL_LIST_SCHEMA)
    return compare(listing, session=SESSION, before=BEFORE, **(facts | changes))


def test_the_same_close_proves_that_there_was_no_ex_right() -> None:
    assert plan() == ExRightPlan(unchanged=[NAME])


def test_another_previous_close_asks_for_the_symbol_and_nothing_else() -> None:
    """A cent is enough; the reference price goes along to be explained."""
    found = plan([row(reference=9.99), row("000001.SZ")])
    assert found.items == [Item(NAME, end=SESSION, reference=9.99)]
    assert found.unchanged == ["000001.SZ"]


def test_a_symbol_known_up_to_the_session_is_not_asked_again() -> None:
    """Though its stored close still differs: a 5-minute run sees the same list all day."""
    assert plan([row(reference=5.0)], known={NAME: covered(SESSION)}) == ExRightPlan()


def test_a_suspended_symbol_waits_for_its_first_trade() -> None:
    assert plan([row(reference=10.0, suspended=True)]) == ExRightPlan()
    assert plan([row(reference=None)]) == ExRightPlan()


def test_a_symbol_suspended_since_before_the_first_bar_held_is_asked_once() -> None:
    """Hundreds of them would cost requests every day, and no bar is held that one could adjust."""
    idle = [row(suspended=True)]
    assert plan(idle, held={}) == ExRightPlan()
    assert plan(idle, held={}, known={}) == ExRightPlan(items=[Item(NAME, end=SESSION)])
    assert plan(held={}) == ExRightPlan(items=[Item(NAME, end=SESSION)]), "it trades again"
    lagging = {NAME: covered(date(2025, 12, 29))}
    assert plan(idle, held={}, bars=lagging).items, "a bar in between may be fetched"


@pytest.mark.parametrize(
    "lacking",
    [
        {"known": {}},
        {"held": {}},
        {"bars": {NAME: covered(date(2025, 12, 29))}, "known": {NAME: covered(date(2025, 12, 29))}},
        {"known": {NAME: covered(date(2025, 12, 29))}},
    ],
)
def test_where_bars_or_ex_rights_have_a_hole_the_list_proves_nothing(lacking: Any) -> None:
    """An equal close may hide two changes: daily runs ask, minute runs leave it to them."""
    assert plan(**lacking) == ExRightPlan(items=[Item(NAME, end=SESSION)])
    assert plan(**lacking, with_unknown=False) == ExRightPlan()


def test_a_bar_that_this_run_fetches_is_compared_when_it_is_there(tmp_path: Path) -> None:
    """The last sync was during the session before: its bar was provisional, the list's one is not.

    An equal close costs no request; another one, or none yet, asks.
    """
    lagging: dict[str, Any] = {"bars": {NAME: covered(date(2025, 12, 29))}}
    (item,) = plan(**lagging).items
    assert item == Item(NAME, end=SESSION, held=True, reference=10.0)
    assert plan(**lagging, with_unknown=False) == ExRightPlan()

    runtime = Runtime(Settings(quantsync_home=tmp_path))
    outcomes = []
    for fetch, bar in enumerate(
        (
            None,
            daily_bar(NAME, BEFORE, close=10.0, state="provisional"),
            daily_bar(NAME, BEFORE, close=9.9),
            daily_bar(NAME, BEFORE, close=10.0),
        )
    ):
        if bar:
            later = daily_bar(NAME, BEFORE, fetch=fetch)["fetched_at"]
            bars = bars_of([{**bar, "fetched_at": later}])
            runtime.lake.write(Dataset.KLINE, Period.DAILY, bars)
        outcomes.append(close_shows_none(runtime, item))
    assert outcomes[:3] == [None, None, None]
    assert outcomes[3] == OutcomeRow(NAME, "unchanged", covered_from=SESSION, covered_to=SESSION)
    runtime.lake.write(Dataset.KLINE, Period.DAILY, bars_of([daily_bar(NAME, BEFORE)]))
    assert close_shows_none(runtime, Item(NAME, end=SESSION, reference=10.0)) is None


def test_a_long_suspension_is_no_hole() -> None:
    """The last bar is old, and coverage proves that there is none since."""
    old = date(2025, 6, 3)
    kept = plan(
        [row(reference=9.0)], held={NAME: LastBar(old, 10.0, 100)}, known={NAME: covered(old)}
    )
    assert kept.items == [Item(NAME, end=SESSION, reference=9.0)]


def test_a_list_of_another_session_is_not_taken_for_a_market_of_ex_rights() -> None:
    """Nobody is asked and nothing is proven when far too many closes differ."""
    rows = [row(f"{600000 + i}.SH", 9.0 if i < 30 else 10.0) for i in range(100)]
    found = plan(rows)
    assert (found.items, found.unchanged) == ([], [])
    assert "differs from the stored close for 30 of 100 symbols" in found.notices[0]
    assert len(plan(rows[11:]).items) == 0
    assert len(plan(rows[20:]).items) == 10


def test_the_reference_price_survives_the_ledger() -> None:
    """And batches that an earlier version planned can still be read."""
    batch = BatchPlan(Work.EX_RIGHT, (Item(NAME, end=SESSION, reference=9.99),))
    assert BatchPlan.from_json(batch.to_json()) == batch
    older = batch.to_json().replace(", null, 9.99]", ", null]")
    assert older != batch.to_json()
    assert BatchPlan.from_json(older).items == (Item(NAME, end=SESSION),)
