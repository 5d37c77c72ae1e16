"""The clean-up removes what is needed no more, and only that."""

import os
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from admin_tasks.cleanup import Cleaned, CleanUp, Retention
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window, bar_end, exchange_calendar
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from pipeline.ticks import begin_due
from storage.coverage import extend_coverage
from storage.database import Database
from storage.gap_facts import read_facts
from storage.gaps import Reason, find_gaps
from storage.lake import Lake
from storage.ledger import Ledger
from storage.ledger_tables import sync_outcome, sync_run
from storage.recovery import Recovery
from storage.run_records import OutcomeRow, RunPlan, RunState, WavePlan, new_run_id
from storage.staging import Staging
from storage.tables import kline_revision
from storage.warehouse import Warehouse
from tests.contract.ledger_words import FIRST, LAST, batch, claimed, commit, ok, open_run, stage
from tests.fixtures.bars import bars_of, daily_bar

DAY_S = 86_400.0
MOUTAI = "600519.SH"


class Home:
    """An installation's stores, and its clean-up."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.lake, self.staging = Lake(folder / "lake"), Staging(folder / "staging")
        self.logs = folder / "logs"
        self.ledger = Ledger(database)

    def clean(self, *, dry: bool = False, **days: float) -> Cleaned:
        """Clean up; nothing is removed but what is asked for, and staged files."""
        kept = {"log_days": 0, "ledger_days": 0, "revision_days": 0, "minute_days": 0, **days}
        retention = Retention(**kept)  # type: ignore[arg-type]
        return CleanUp(self.database, self.lake, self.staging, self.logs, retention).run(dry=dry)

    def run(
        self,
        *outcomes: OutcomeRow,
        days_ago: float = 0.0,
        window: tuple[date, date] = (FIRST, LAST),
        symbols: list[str] | None = None,
        period: Period = Period.DAILY,
    ) -> str:
        """A run that has ended so many days ago, with these outcomes."""
        plan = batch(*(outcome.subject for outcome in outcomes)) if outcomes else batch(MOUTAI)
        params = {"from": str(window[0]), "to": str(window[1]), "symbols": symbols}
        run = RunPlan(
            new_run_id(), "stocks", period, "simulator", "live", params,
            waves=(WavePlan("quant_stock_queues", (plan,)),),
        )  # fmt: skip
        assert self.ledger.open_run(run)
        if outcomes:
            assert stage(self.ledger, claimed(self.ledger, run.run_id), *outcomes)
            assert commit(self.ledger, run.run_id)
        else:
            self.ledger.end_run(run.run_id, RunState.FAILED, "for the test")
        age(self.database, run.run_id, days_ago)
        return run.run_id


def age(database: Database, run_id: str, days: float) -> None:
    """Let a run be older than it is."""
    with database.writing() as connection:
        columns = sync_run.c
        connection.execute(
            update(sync_run)
            .where(columns.run_id == run_id)
            .values(
                created_at=columns.created_at - days * DAY_S,
                finished_at=columns.finished_at - days * DAY_S,
            )
        )


@pytest.fixture
def home(database: Database, tmp_path: Path) -> Home:
    """An empty home on each kind of database."""
    return Home(database, tmp_path)


@pytest.fixture
def local(sqlite_database: Database, tmp_path: Path) -> Home:
    """An empty home on SQLite."""
    return Home(sqlite_database, tmp_path)


# -- staged files ------------------------------------------------------------------------------


def staged(home: Home, run_id: str, days_ago: float) -> Path:
    """A staged file of a run, last written so many days ago."""
    bars = bars_of([daily_bar(MOUTAI, FIRST)])
    home.staging.write(run_id, 0, "token", {"bars": bars})
    folder = home.staging.root / run_id
    then = time.time() - days_ago * DAY_S
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))
    return folder


def test_a_staged_file_of_a_run_that_can_be_committed_stays_at_any_age(local: Home) -> None:
    """One that is under way, and one that ended in the middle of a commit."""
    running = open_run(local.ledger, (batch(MOUTAI),))
    half = open_run(local.ledger, (batch(MOUTAI),))
    assert stage(local.ledger, claimed(local.ledger, half), ok(MOUTAI))
    assert local.ledger.claim_wave(half, 0, 60) is not None
    local.ledger.end_run(half, RunState.PARTIAL, "for the test")
    folders = [staged(local, run_id, days_ago=400) for run_id in (running, half)]

    assert local.clean().staged == []

    assert all(folder.exists() for folder in folders)


def test_staged_files_of_runs_that_ended_and_of_none_go(local: Home) -> None:
    """Unless they were written just now; of an unknown run, as long as it could be committed."""
    ended, just_now = local.run(days_ago=1), local.run(days_ago=1)
    old = staged(local, ended, days_ago=0.5)
    fresh = staged(local, just_now, days_ago=0.0)
    orphan = staged(local, "20250101T000000-0123abcd", days_ago=1.1)
    young = staged(local, "20250101T000000-89abcdef", days_ago=0.9)
    stranger = staged(local, "mine", days_ago=900)

    assert local.clean(dry=True).staged == sorted(["20250101T000000-0123abcd", ended])
    assert old.exists()
    assert local.clean().staged == sorted(["20250101T000000-0123abcd", ended])

    assert not old.exists()
    assert not orphan.exists()
    assert fresh.exists()
    assert young.exists()
    assert stranger.exists()


# -- logs --------------------------------------------------------------------------------------


def test_old_logs_go_but_not_those_that_a_process_writes(local: Home, tmp_path: Path) -> None:
    """Nor what a link in the folder points at, nor folders, nor young ones."""
    local.logs.mkdir()
    outside = tmp_path / "outside.log"
    names = ("old.log", "written.log", "young.log")
    paths = [outside, *(local.logs / name for name in names)]
    for path in paths:
        path.write_text("said\n")
    (local.logs / "link.log").symlink_to(outside)
    (local.logs / "folder.log").mkdir()
    script = f"import sys; f = open({str(paths[2])!r}, 'a'); print(flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    then = time.time() - 31 * DAY_S
    for path in paths[:3]:
        os.utime(path, (then, then))
    os.utime(local.logs / "link.log", (then, then), follow_symlinks=False)

    assert local.clean(log_days=30).logs == ["old.log"]

    writer.communicate()
    assert local.clean(log_days=30).logs == ["written.log"]
    assert local.clean(log_days=0).logs == []
    left = sorted(path.name for path in local.logs.iterdir())
    assert left == ["folder.log", "link.log", "young.log"]
    assert outside.exists()


# -- the ledger --------------------------------------------------------------------------------


def test_old_runs_leave_the_ledger_and_runs_that_anything_rests_on_stay(home: Home) -> None:
    """One is named by coverage, the last one asked the most, another has not ended."""
    old = [home.run(ok(MOUTAI), days_ago=days) for days in (500, 450, 400)]
    named, newest = old.pop(1), home.run(ok(MOUTAI), days_ago=390)
    running = open_run(home.ledger, (batch(MOUTAI),))
    age(home.database, running, 500)
    with home.database.writing() as connection:
        extend_coverage(connection, "kline", "daily", MOUTAI, (FIRST, date(2025, 3, 10)), named)

    assert home.clean(dry=True, ledger_days=365).runs == old
    assert len(home.ledger.runs(10)) == 5
    assert home.clean(ledger_days=365).runs == old

    assert {run.run_id for run in home.ledger.runs(10)} == {named, newest, running}
    with home.database.reading() as connection:
        assert set(connection.scalars(select(sync_outcome.c.run_id))) == {named, newest}
    assert home.clean(ledger_days=365).runs == []


def test_a_run_that_ended_in_the_middle_of_a_commit_stays(local: Home) -> None:
    """Recovery still has to make both stores the same."""
    half = open_run(local.ledger, (batch(MOUTAI),))
    assert stage(local.ledger, claimed(local.ledger, half), ok(MOUTAI))
    assert local.ledger.claim_wave(half, 0, 0.0) is not None
    local.ledger.end_run(half, RunState.PARTIAL, "for the test")
    age(local.database, half, 500)

    assert local.clean(ledger_days=1).runs == []
    assert Recovery(local.database).half_committed() == [(half, 0)]


def test_retention_changes_nothing_of_what_is_missing_and_why(local: Home) -> None:
    """Every reason that ``verify --gaps`` gives stays, though most runs are gone."""
    names = ["000001.SZ", MOUTAI, "300750.SZ", "688981.SH"]
    early, late = (date(2025, 2, 5), date(2025, 2, 28)), (FIRST, LAST)
    local.run(OutcomeRow("000001.SZ", "timeout", "too slow"), days_ago=900, window=early)
    local.run(OutcomeRow("300750.SZ", "delisted", "gone"), days_ago=800, window=(early[0], LAST))
    for days in (700, 600, 550):
        local.run(OutcomeRow("000001.SZ", "throttled", "refused"), ok(MOUTAI), days_ago=days)
    local.run(OutcomeRow("000001.SZ", "malformed", "cut"), ok(MOUTAI), days_ago=500, window=late)
    local.run(symbols=["688981.SH"], days_ago=400, window=(date(2025, 1, 6), LAST))

    def reasons() -> list[tuple[str, Reason, str, date]]:
        sessions = exchange_calendar().sessions_in(Window(date(2025, 1, 6), LAST))
        facts = read_facts(
            local.lake, local.database, Dataset.KLINE, Period.DAILY, sessions,
            names=names,
        )  # fmt: skip
        found = (find_gaps(Dataset.KLINE, Period.DAILY, sessions, each) for each in facts)
        return [
            (gaps.name, each.reason, each.says, each.window.start)
            for gaps in found
            if gaps is not None
            for each in gaps.missing
        ]

    before = reasons()
    assert {reason for _, reason, _, _ in before} >= {Reason.FAILED, Reason.DELISTED}

    gone = local.clean(ledger_days=365).runs

    assert len(gone) == 2
    assert reasons() == before


def test_a_slot_that_was_served_is_not_served_again_after_retention(
    tmp_path: Path, simulator: SimulatorServer
) -> None:
    """Ticks ask the ledger for the newest slot; the run that serves it stays at any age."""
    runtime = Runtime(
        Settings(quantsync_home=tmp_path, quantsync_upstream=simulator.url, watch_list="600519")
    )
    home = Home(runtime.database, tmp_path)

    def tick(minute: int) -> str | None:
        at = datetime(2025, 12, 31, 10, minute, 30, tzinfo=EXCHANGE_TZ)
        simulator.clock.set(at)
        run_id = begin_due(runtime, "stocks_5m", lambda *_: None)
        if run_id is not None:
            runtime.ledger.end_run(run_id, RunState.FAILED, "for the test")
            age(runtime.database, run_id, 500)
        return run_id

    served = [tick(minute) for minute in (31, 36, 41)]
    assert None not in served
    assert served[-1] is not None
    window = (date(2020, 1, 2), date(2025, 12, 31))
    home.run(
        window=window, symbols=["600519.SH", "600519"], period=Period.M5
    )  # asked for more than they

    gone = home.clean(ledger_days=1).runs

    assert served[-1] not in gone
    assert served[0] in gone
    assert tick(41) is None
    later = tick(46)
    assert later is not None
    assert not any("missed" in each for each in runtime.ledger.status(later).notices)
    runtime.database.dispose()


# -- bars in SQL -------------------------------------------------------------------------------


def test_old_revisions_go_when_asked_and_stay_otherwise(home: Home) -> None:
    """By when they were made; the bars that stand are no matter of it."""
    warehouse = Warehouse(home.database)
    for fetch in (0, 1, 2):
        bars = bars_of([daily_bar(MOUTAI, FIRST, close=10.0 + fetch, fetch=fetch)])
        warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars)
    now = int(time.time() * 1_000_000)
    with home.database.writing() as connection:
        newest = select(kline_revision.c.id).order_by(kline_revision.c.id.desc()).limit(1)
        keep = connection.scalar(newest)
        young = update(kline_revision).where(kline_revision.c.id == keep).values(revised_at=now)
        old = (
            update(kline_revision)
            .where(kline_revision.c.id != keep)
            .values(revised_at=now - int(31 * DAY_S * 1_000_000))
        )
        connection.execute(young)
        connection.execute(old)

    assert home.clean(revision_days=0).revisions == 0
    assert home.clean(revision_days=30, dry=True).revisions == 1
    assert home.clean(revision_days=30).revisions == 1

    with home.database.reading() as connection:
        assert list(connection.scalars(select(kline_revision.c.id))) == [keep]
    assert warehouse.read_bars(Dataset.KLINE, Period.DAILY)["close"].to_pylist() == [12.0]


def test_minute_bars_leave_sql_by_the_newest_one_and_not_by_the_clock(home: Home) -> None:
    """A home that nobody has synchronised for years loses none."""
    days = [FIRST, FIRST + timedelta(days=100), FIRST + timedelta(days=101)]
    bars = bars_of([daily_bar(MOUTAI, day, end_at=bar_end(day)) for day in days])
    home.lake.write(Dataset.KLINE, Period.M5, bars)
    warehouse = Warehouse(home.database)
    warehouse.write_bars(Dataset.KLINE, Period.M5, bars)

    assert home.clean(minute_days=0).minutes_before is None
    assert home.clean(minute_days=101).minutes_before is None
    said = home.clean(minute_days=100)

    assert (said.minutes_before, said.minute_bars) == ((days[0] + timedelta(days=1)).isoformat(), 1)
    assert warehouse.sessions(Dataset.KLINE, Period.M5) == days[1:]


def test_a_part_that_cannot_be_cleaned_keeps_no_other_from_it(local: Home) -> None:
    """The notice says what was left and why."""
    for days in (500, 450, 400):
        local.run(ok(MOUTAI), days_ago=days)
    local.staging.root.write_text("a file where the folder should be")

    done = local.clean(ledger_days=365)

    assert len(done.runs) == 1
    assert any("Not a directory" in notice for notice in done.notices)
