"""Completeness on real data: no session without a bar is excused without proof, none is invented.

The rows are a stock exchange's own record of which sessions each symbol traded (``tradestatus``),
from 2015 to 2024, with long suspensions. ``TEST_MARKET_DATA`` names the folder of the full record.
"""

import csv
import os
import random
from collections.abc import Callable, Iterator
from datetime import date, time
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import insert

from market.bars import Dataset
from market.boards import SYMBOL_LIST_SCHEMA
from market.periods import Period
from market.sessions import Window, bar_end, bar_end_times, exchange_calendar
from market.symbols import parse_symbol
from storage.catalog import Catalog
from storage.coverage import extend_coverage
from storage.database import Database
from storage.gap_facts import read_facts
from storage.gaps import Reason, SeriesGaps, find_gaps
from storage.lake import Lake
from storage.ledger import Ledger
from storage.ledger_tables import sync_outcome
from storage.run_records import RunPlan
from tests.fixtures.bars import bars_of, daily_bar

CALENDAR = exchange_calendar()
EXCERPT = Path(__file__).parents[1] / "data" / "market" / "suspensions.csv"
FULL = "dirty/baostock_unadj_suspension_ST_12sym_2015_2024.csv"

Record = dict[str, dict[date, bool]]
"""By symbol: whether it traded in each session that the exchange has a row of."""


def read_record(path: Path) -> Record:
    record: Record = {}
    with path.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            name = str(parse_symbol(row["code"]))
            traded = row["tradestatus"] == "1"
            record.setdefault(name, {})[date.fromisoformat(row["date"])] = traded
    return record


def read_full() -> Record:
    folder = os.environ.get("TEST_MARKET_DATA")
    if folder is None:
        pytest.skip("TEST_MARKET_DATA names no folder of recorded market data")
    return read_record(Path(folder) / FULL)


def sessions_of(record: Record) -> tuple[date, ...]:
    days = [day for rows in record.values() for day in rows]
    return CALENDAR.sessions_in(Window(min(days), max(days)))


def take_lists(catalog: Catalog, record: Record) -> None:
    """The list of every session, on which a symbol that the record calls suspended has no price."""
    names = sorted(record)
    for session in sessions_of(record):
        idle = [record[name].get(session) is False for name in names]
        listing = {
            "symbol": names,
            "name": names,
            "close": [None if each else 10.0 for each in idle],
            "previous_close": [10.0] * len(names),
            "suspended": idle,
        }
        change = catalog.replace_symbols(
            pa.table(listing, schema=SYMBOL_LIST_SCHEMA), session, "run"
        )
        assert change.accepted


def ask(database: Database, record: Record) -> None:
    """A run that has asked for all of it."""
    sessions = sessions_of(record)
    params = {"from": str(sessions[0]), "to": str(sessions[-1]), "symbols": sorted(record)}
    Ledger(database).open_run(
        RunPlan("run", "stocks", Period.DAILY, "simulator", "live", params, waves=())
    )


def store(lake: Lake, record: Record, without: set[tuple[str, date]]) -> None:
    rows = [
        daily_bar(name, day)
        for name, days in record.items()
        for day, traded in days.items()
        if traded and (name, day) not in without
    ]
    lake.write(Dataset.KLINE, Period.DAILY, bars_of(rows))


def judged(lake: Lake, database: Database, record: Record) -> Iterator[SeriesGaps]:
    for name, days in record.items():
        sessions = CALENDAR.sessions_in(Window(min(days), max(days)))
        facts = read_facts(lake, database, Dataset.KLINE, Period.DAILY, sessions, names=[name])
        found = find_gaps(Dataset.KLINE, Period.DAILY, sessions, facts[0])
        assert found is not None
        yield found


def gaps_of(found: SeriesGaps) -> set[tuple[str, date]]:
    return {
        (found.name, day)
        for stretch in found.missing
        if stretch.repairable
        for day in CALENDAR.sessions_in(stretch.window)
    }


@pytest.mark.parametrize("read", [lambda: read_record(EXCERPT), read_full], ids=["some", "all"])
def test_every_lost_bar_is_a_gap_and_no_proven_suspension_is(
    tmp_path: Path, database: Database, read: Callable[[], Record]
) -> None:
    """Zero false gaps, zero missed gaps: with all bars held, and with one in forty taken away.

    Sessions of which the exchange's record says nothing at all are gaps too: nothing is assumed.
    """
    record = read()
    if len(record) > 3 and not database.is_sqlite:
        pytest.skip("the full record is judged once, on SQLite")
    unknown = {
        (name, day)
        for name, days in record.items()
        for day in CALENDAR.sessions_in(Window(min(days), max(days)))
        if day not in days
    }
    traded = sorted((n, d) for n, days in record.items() for d, yes in days.items() if yes)
    taken = set(random.Random(4).sample(traded, max(3, len(traded) // 40)))
    taken |= {traded[0], traded[-1]}
    ask(database, record)
    take_lists(Catalog(database), record)
    whole, holed = Lake(tmp_path / "whole"), Lake(tmp_path / "holed")
    store(whole, record, set())
    store(holed, record, taken)

    complete = list(judged(whole, database, record))
    found = list(judged(holed, database, record))

    assert set().union(*map(gaps_of, complete)) == unknown
    assert set().union(*map(gaps_of, found)) == unknown | taken
    suspended = sum(series.counts().get(Reason.SUSPENDED, 0) for series in found)
    assert suspended == sum(not yes for days in record.values() for yes in days.values())
    assert sum(series.held for series in found) == len(traded) - len(taken)


def test_a_list_of_a_session_that_goes_on_or_of_quotes_that_are_reset_proves_nothing(
    tmp_path: Path, database: Database
) -> None:
    """Without a price at 10:32 a symbol may trade at 13:00; before the open nobody has a price."""
    names, session = ["600000.SH", "600001.SH", "600002.SH"], date(2025, 3, 3)

    def listing(idle: list[bool]) -> pa.Table:
        columns = {"symbol": names, "name": names, "close": [1.0] * 3, "previous_close": [1.0] * 3}
        return pa.table({**columns, "suspended": idle}, schema=SYMBOL_LIST_SCHEMA)

    def reasons() -> list[dict[str, int]]:
        lake = Lake(tmp_path)
        facts = read_facts(lake, database, Dataset.KLINE, Period.DAILY, [session], names=names)
        found = [find_gaps(Dataset.KLINE, Period.DAILY, [session], each) for each in facts]
        return [each.counts() for each in found if each]

    catalog = Catalog(database)
    catalog.replace_symbols(listing([True, False, False]), session, "morning", settled=False)
    assert reasons() == [{"never_fetched": 1}] * 3
    assert {row.suspended_on for row in catalog.symbols()} == {None}
    catalog.replace_symbols(listing([True, True, True]), session, "reset")
    assert reasons() == [{"never_fetched": 1}] * 3

    catalog.replace_symbols(listing([True, False, False]), session, "evening")

    assert reasons() == [{"suspended": 1}, {"never_fetched": 1}, {"never_fetched": 1}]


def test_a_session_with_a_minute_bar_in_quarantine_is_no_held_session(
    tmp_path: Path, database: Database
) -> None:
    """The bar of the close is there, one of 48 is not: held only once coverage calls it whole."""
    name, sessions = "600000.SH", CALENDAR.sessions_in(Window(date(2025, 3, 3), date(2025, 3, 4)))
    rows = [
        daily_bar(name, day, end_at=bar_end(day, end))
        for day in sessions
        for end in bar_end_times(Period.M5)
        if (day, end) != (sessions[1], time(10, 0))
    ]
    lake = Lake(tmp_path)
    lake.write(Dataset.KLINE, Period.M5, bars_of(rows))

    def held() -> list[bool]:
        facts = read_facts(lake, database, Dataset.KLINE, Period.M5, sessions, names=[name])
        return [bool(each) for each in facts[0].final]

    assert held() == [True, False]
    with database.writing() as connection:
        proven = (sessions[1], sessions[1])
        extend_coverage(connection, "kline", Period.M5.value, name, proven, "run")
    assert held() == [True, True]


def test_a_session_that_a_sweep_stepped_over_was_never_fetched(
    tmp_path: Path, database: Database
) -> None:
    """The bar that came with a list answers for its session, whatever window its run was given."""
    name, days = "600000.SH", CALENDAR.sessions_in(Window(date(2025, 3, 3), date(2025, 3, 5)))
    ask(database, {name: dict.fromkeys(days, True)})
    outcome = {"work": "kline", "subject": name, "batch_no": 0, "outcome": "ok", "rows": 1}
    with database.writing() as connection:
        proven = {"covered_from": days[2], "covered_to": days[2]}
        connection.execute(insert(sync_outcome), {"run_id": "run", **outcome, **proven})
    lake = Lake(tmp_path)
    lake.write(Dataset.KLINE, Period.DAILY, bars_of([daily_bar(name, days[2])]))

    (facts,) = read_facts(lake, database, Dataset.KLINE, Period.DAILY, days, names=[name])
    found = find_gaps(Dataset.KLINE, Period.DAILY, days, facts)

    assert found is not None
    assert found.counts() == {"never_fetched": 2}
