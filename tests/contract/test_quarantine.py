"""Bars in quarantine on each database: kept once, found by every filter, decided about."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from market.bars import Dataset
from market.periods import Period
from market.sessions import bar_end
from pipeline.quarantining import NotAcceptableError, accept_bars
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.board_history import taxonomies
from storage.database import Database
from storage.kline_quarantine import (
    BarDecision,
    BarFilter,
    BarQuarantine,
    NoSuchEntryError,
    content_hash,
    enter_bars,
)
from storage.run_records import QuarantinedBar

SESSION = date(2025, 3, 3)
ROW: dict[str, object] = {
    "open": 9.0,
    "high": 9.5,
    "low": 9.6,
    "close": 9.2,
    "volume": 100,
    "state": "final",
}


def bad(
    row: Mapping[str, object] = ROW, subject: str = "600519.SH", reasons: str = "ohlc_order"
) -> QuarantinedBar:
    """A daily bar that breaks rules."""
    end_at = int(bar_end(SESSION).timestamp())
    return QuarantinedBar(Dataset.KLINE, Period.DAILY, subject, end_at, row, reasons)


def enter(database: Database, *bars: QuarantinedBar, run_id: str = "run1") -> None:
    """Put bars into quarantine."""
    with database.writing() as connection:
        enter_bars(connection, run_id, bars, 1.0)


def test_the_same_bad_bar_is_kept_once_and_another_value_is_another_entry(
    database: Database,
) -> None:
    """Provisional ones, which change with every fetch, are kept once."""
    half = {**ROW, "state": "provisional"}
    enter(database, bad(), bad({**ROW, "low": 9.7}), bad(half))
    enter(database, bad(), bad({**half, "close": 9.3}), run_id="run2")

    found = BarQuarantine(database).entries(BarFilter())
    assert [entry.run_id for entry in found] == ["run1"] * 3
    assert [entry.row["low"] for entry in found] == [9.6, 9.7, 9.6]


def test_entries_are_found_by_every_filter(database: Database) -> None:
    """Each filter leaves out what it should, and a limit what comes after."""
    enter(database, bad(), bad(subject="000001.SZ", reasons="ohlc_order,no_trade"))
    enter(database, bad(subject="300750.SZ"), run_id="run2")
    quarantine = BarQuarantine(database)

    def found(limit: int | None = None, **filters: object) -> list[str]:
        return [e.subject for e in quarantine.entries(BarFilter(**filters), limit)]  # type: ignore[arg-type]

    assert found() == ["000001.SZ", "300750.SZ", "600519.SH"]
    assert found(limit=1) == ["000001.SZ"]
    assert found(subject="600519.SH") == ["600519.SH"]
    assert found(rule="no_trade") == ["000001.SZ"]
    assert found(run_id="run2") == ["300750.SZ"]
    assert found(period="5m") == []
    assert found(start=SESSION, end=SESSION) == found()
    assert found(start=date(2025, 3, 4)) == found(end=date(2025, 2, 28)) == []
    assert found(status=BarDecision.DROPPED) == []


def test_a_decision_is_kept_with_who_and_when_and_nothing_is_deleted(database: Database) -> None:
    """A later decision replaces an earlier one."""
    enter(database, bad())
    quarantine = BarQuarantine(database)
    (entry,) = quarantine.entries(BarFilter())
    assert quarantine.decided("kline", "daily", "600519.SH") == []

    quarantine.decide([entry.id], BarDecision.DROPPED, "ann@host", None)
    quarantine.decide([entry.id], BarDecision.ACCEPTED, "bob@host", "checked")

    (decided,) = quarantine.decided("kline", "daily", "600519.SH")
    assert (decided.status, decided.decided_by, decided.note) == ("accepted", "bob@host", "checked")
    assert decided.decided_at is not None
    with pytest.raises(NoSuchEntryError, match="holds no bar b99"):
        quarantine.entry(99)


def test_a_bar_off_the_grid_or_in_two_versions_is_not_accepted(tmp_path: Path) -> None:
    """Nothing is written: it would count twice, and no longer bar could be made of what is held."""
    runtime = Runtime(Settings(quantsync_home=tmp_path))
    whole = {**ROW, "low": 9.0, "amount": 920.0, "session": SESSION.isoformat()}
    enter(
        runtime.database,
        bad(whole, reasons="not_a_bar_end"),
        bad(whole, "000001.SZ", "duplicate"),
        bad({**whole, "low": 8.9}, "000001.SZ", "duplicate"),
    )
    off_grid = BarQuarantine(runtime.database).entries(BarFilter(rule="not_a_bar_end"))
    twice = BarQuarantine(runtime.database).entries(BarFilter(rule="duplicate"))

    with pytest.raises(NotAcceptableError, match="ends where no daily bar ends"):
        accept_bars(runtime, off_grid, "ann@host", None)
    with pytest.raises(NotAcceptableError, match="are the same bar of"):
        accept_bars(runtime, twice, "ann@host", None)

    assert runtime.warehouse.read_bars(Dataset.KLINE, Period.DAILY).num_rows == 0
    assert BarQuarantine(runtime.database).entries(BarFilter(status=BarDecision.ACCEPTED)) == []


def test_what_was_held_before_an_upgrade_is_recognised_after_it(tmp_path: Path) -> None:
    """A re-fetched bad bar is no second entry, and the boards held are the first taxonomy."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parents[2] / "storage" / "migrations")
    )
    engine = sa.create_engine(url)
    insert = (
        "INSERT INTO kline_quarantine (run_id, dataset, period, subject, end_at, row, reasons, "
        "quarantined_at) VALUES ('r', 'kline', 'daily', '600519.SH', :end, :row, 'ohlc_order', 1)"
    )
    row = '{"open": 9.0, "high": 9.5, "low": 9.6, "close": 9.2, "volume": 100, "state": "final"}'
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(sa.text(insert), {"end": bad().end_at, "row": row})
        board = "INSERT INTO board (code, kind, active, last_listed) VALUES "
        connection.execute(sa.text(f"{board} ('BK0818', 'concept', 1, '2025-03-03')"))
        connection.execute(sa.text(f"{board} ('BK0001', 'concept', 0, '2025-02-03')"))
    engine.dispose()

    database = Database(url)
    database.migrate()
    enter(database, bad())

    (entry,) = BarQuarantine(database).entries(BarFilter())
    assert (entry.status, content_hash(entry.row)) == ("open", content_hash(ROW))
    (version,) = taxonomies(database)
    assert (version.kind, version.boards) == ("concept", ("BK0818",))
    assert (version.first_session, version.last_session) == (SESSION, SESSION)
    database.dispose()
