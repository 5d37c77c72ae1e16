"""The ledger in figures, on either database."""

from datetime import date, datetime

from market.bars import Dataset
from market.periods import Period
from market.sessions import exchange_calendar
from pipeline.freshness import Held, read_held
from storage.database import Database
from storage.ledger import Ledger
from storage.ledger_figures import count_runs, newest_slots, read_durations
from storage.run_records import RunState
from tests.contract.ledger_words import LAST, batch, claimed, commit, ok, open_run, stage


def test_runs_slots_and_durations_are_those_of_the_ledger(database: Database) -> None:
    """Two batches were claimed and ended, one wave committed; the rest has taken no time yet."""
    ledger = Ledger(database)
    done = open_run(ledger, (batch("600519.SH"), batch("000001.SZ")), slot="2025-03-07T15:15+08:00")
    ledger.mark_published(done, 0)
    for number, name in enumerate(("600519.SH", "000001.SZ")):
        assert stage(ledger, claimed(ledger, done, number), ok(name))
    assert commit(ledger, done)
    open_ = open_run(ledger, (batch("600519.SH"),), slot="2025-03-06T15:15+08:00")
    claimed(ledger, open_)
    ledger.end_run(open_run(ledger, (batch("600519.SH"),)), RunState.FAILED, "no")

    counts = {
        (row.kind, row.period, row.lane, row.state): row.count for row in count_runs(database)
    }
    assert counts == {
        ("stocks", "daily", "live", state): 1 for state in ("committed", "failed", "running")
    }
    (slot,) = newest_slots(database)
    assert slot.at == datetime.fromisoformat("2025-03-07T15:15+08:00")
    durations = {row.what: row for row in read_durations(database)}
    assert {what: row.count for what, row in durations.items()} == {
        "batch": 2, "batch_wait": 2, "commit": 1,
    }  # fmt: skip
    assert all(0 <= row.seconds < 60 for row in durations.values())
    assert {(row.queue, row.lane) for row in durations.values()} == {("quant_stock_queues", "live")}


def test_what_is_held_is_measured_against_the_calendar(database: Database) -> None:
    """One of two series ends earlier; a weekend makes nothing late."""
    ledger = Ledger(database)
    run = open_run(ledger, (batch("600519.SH"),))
    assert stage(ledger, claimed(ledger, run), ok("600519.SH"))
    assert commit(ledger, run)

    (held,) = read_held(database)
    assert held == Held(Dataset.KLINE, Period.DAILY, 1, date(2025, 3, 3), LAST, 0)
    calendar = exchange_calendar()
    lags = [held.lag(date(2025, 3, day), calendar) for day in (6, 7, 10, 12)]
    assert lags == [0, 0, 1, 3]
