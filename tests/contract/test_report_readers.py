"""What reports read from SQL, on each database: runs, repeats, quarantine, revisions."""

from datetime import date, datetime, timedelta

import pyarrow as pa
from sqlalchemy import text

from admin_tasks.report_runs import read_runs
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import bar_end, exchange_calendar
from storage.database import Database
from storage.doubt_counts import kept_out_bars, replaced_bars
from storage.kline_quarantine import enter_bars
from storage.ledger import Ledger
from storage.run_records import (
    BatchPlan,
    Item,
    QuarantinedBar,
    RunPlan,
    RunState,
    WavePlan,
    Work,
)
from storage.session_runs import Repeats, repeats_of, runs_of_session
from storage.warehouse import Warehouse
from tests.fixtures.bars import bars_of, daily_bar

CALENDAR = exchange_calendar()
FRIDAY, MONDAY = date(2025, 12, 26), date(2025, 12, 29)


def begin(
    database: Database,
    run_id: str,
    *,
    to: date,
    slot: str | None = None,
    on: date | None = None,
    notices: tuple[str, ...] = (),
    **more: object,
) -> None:
    """A run that asks up to a session; ``on`` moves its begin to the noon of a day."""
    batch = BatchPlan(Work.KLINE, (Item("600519.SH", to, to),), Period.DAILY)
    params = {"symbols": None, "from": "2025-01-02", "to": to.isoformat(), **more}
    waves = (WavePlan("quant_stock_queues", (batch,)),)
    plan = RunPlan(run_id, "stocks", Period.DAILY, "live", "live", params, waves, slot, notices)
    assert Ledger(database).open_run(plan)
    if on is not None:
        noon = datetime(on.year, on.month, on.day, 12, tzinfo=EXCHANGE_TZ).timestamp()
        with database.writing() as connection:
            query = text("UPDATE sync_run SET created_at = :at WHERE run_id = :run_id")
            connection.execute(query, {"at": noon, "run_id": run_id})


def found(database: Database, session: date) -> set[str]:
    return {run.run_id for run in runs_of_session(database, session, CALENDAR)}


def test_a_run_belongs_to_the_session_it_serves_asks_for_or_begins_on(database: Database) -> None:
    """Days off belong to the session before them."""
    far = date(2025, 6, 3)
    begin(database, "asked", to=FRIDAY)
    begin(database, "slot", to=far, slot=f"{FRIDAY}T15:15:00+08:00")
    begin(database, "weekend", to=far, on=FRIDAY + timedelta(days=2))
    begin(database, "monday", to=far, on=MONDAY)

    assert found(database, FRIDAY) == {"asked", "slot", "weekend"}
    assert found(database, MONDAY) == {"monday"}


def test_work_that_was_begun_again_is_counted(database: Database) -> None:
    begin(database, "r1", to=FRIDAY)
    ledger = Ledger(database)
    for _ in range(2):
        assert ledger.claim_batch("r1", 0, lease_s=60) is not None
        with database.writing() as connection:
            connection.execute(text("UPDATE sync_batch SET state = 'pending'"))

    assert repeats_of(database, ["r1"]) == Repeats(batches=1, commits=0)
    assert repeats_of(database, []) == Repeats()


def test_runs_that_repair_and_what_runs_want_to_be_known_are_told(database: Database) -> None:
    """The newest run that is not committed comes first; a sentence is told once, with a count."""
    for number in range(3):
        begin(database, f"tick{number}", to=FRIDAY, notices=("the list was old",))
        Ledger(database).end_run(f"tick{number}", RunState.FAILED, "the disk is full")
    begin(database, "repair", to=FRIDAY, gaps=True)

    facts, run_ids = read_runs(database, FRIDAY, CALENDAR)

    assert (facts.repairs, facts.total) == (1, 4)
    assert dict(facts.states) == {"running": 1, "failed": 3}
    assert facts.failed == (("stocks", "the disk is full", 3),)
    assert facts.notices == (("the list was old", 3),)
    assert [line.run_id for line in facts.lines] == ["tick2", "tick1", "tick0", "repair"]
    assert [line.repairs for line in facts.lines] == [False, False, False, True]
    assert set(run_ids) == {"tick0", "tick1", "tick2", "repair"}


def test_a_bar_in_quarantine_counts_for_every_rule_it_breaks(database: Database) -> None:
    def bad(run_id: str, symbol: str, rules: str) -> None:
        end = int(bar_end(FRIDAY).timestamp())
        bar = QuarantinedBar(Dataset.KLINE, Period.DAILY, symbol, end, {"close": 1}, rules)
        with database.writing() as connection:
            enter_bars(connection, run_id, [bar], 0.0)

    bad("r1", "600519.SH", "high_low,no_trade")
    bad("r2", "000001.SZ", "no_trade")

    counts = {row.rule: (dict(row.statuses), row.new) for row in kept_out_bars(database, ["r2"])}

    assert counts == {"high_low": ({"open": 1}, 0), "no_trade": ({"open": 2}, 1)}


def test_bars_that_gave_way_are_counted_for_their_own_session_only(database: Database) -> None:
    def write(day: date, close: float, fetch: int) -> None:
        bars: pa.Table = bars_of([daily_bar("600519.SH", day, close=close, fetch=fetch)])
        Warehouse(database).write_bars(Dataset.KLINE, Period.DAILY, bars)

    for fetch, close in enumerate((10.0, 10.1)):
        write(FRIDAY, close, fetch)
        write(MONDAY, 10.0, 0)

    (row,) = replaced_bars(database, FRIDAY)

    assert (row.dataset, row.period, row.state) == (Dataset.KLINE, Period.DAILY, "final")
    assert (row.bars, row.series, row.names) == (1, 1, ("600519.SH",))
    assert replaced_bars(database, MONDAY) == []
