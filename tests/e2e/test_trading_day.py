"""A trading day that nobody watches: real beat and workers on a fast clock, from open to backup."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import pypdfium2
import pytest

from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from pipeline.bench.processes import stop
from storage.database import Database
from storage.lake import Lake
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.filled import every_row
from tests.fixtures.forking import ForkedPopen
from tests.fixtures.processes import worker
from tests.fixtures.redis_server import Restartable
from tests.fixtures.smtp_server import MailHost

DAY = date(2025, 12, 31)
NEXT = date(2026, 1, 1)  # a holiday: nothing but upkeep is due
MINUTES_A_SECOND = 4


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(SeededMarket(5, 30)) as server:
        yield server


@contextmanager
def services(home: Installation, tmp_path: Path) -> Iterator[None]:
    """Both workers and beat, as systemd starts them."""
    assert home.run("status").code == 0  # makes the database
    variables = home.variables
    quant = worker(variables, tmp_path / "quant.log")
    admin = worker(
        variables, tmp_path / "admin.log", name="admin", threads=2, pool="prefork",
        queues="default,email_queues",
    )  # fmt: skip
    command = [sys.executable, "-m", "celery", "-A", "pipeline.app", "beat", "--pidfile="]
    command += ["--schedule", str(tmp_path / "beat.db"), "--max-interval", "1"]
    with (tmp_path / "beat.log").open("ab") as log:
        beat = ForkedPopen(command, env=variables, stdout=log, stderr=log)
    try:
        yield
    finally:
        stop(beat, admin, quant)


@contextmanager
def running(simulator: SimulatorServer, begins: datetime) -> Iterator[None]:
    """The simulator's clock, fast."""
    ended, origin = threading.Event(), time.monotonic()

    def turn() -> None:
        while not ended.wait(0.02):
            passed = (time.monotonic() - origin) * MINUTES_A_SECOND
            simulator.clock.set(begins + timedelta(minutes=passed))

    clock = threading.Thread(target=turn)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()


@pytest.mark.lengthy
@pytest.mark.services
def test_a_day_ends_with_final_bars_one_report_in_the_mail_and_a_backup_that_restores(
    installation: Installation, simulator: SimulatorServer, mail_host: MailHost, tmp_path: Path
) -> None:
    """From 9:25 to the night, four minutes a second, and nobody helps."""
    home, redis = installation, Restartable(tmp_path / "redis", durable=True)
    home.environment |= {
        "CELERY_BROKER_URL": redis.url(1),
        "CELERY_RESULT_BACKEND": redis.url(2),
        "QUANTSYNC_UPSTREAM": simulator.url,
        "BUDGET_SIMULATOR": "400/1s",
        "WATCH_LIST": "600519",
        "BEAT_CLOCK": "market",
        "HISTORY_DAILY_FROM": "2025-12-22",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mail_host.port),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "quantsync@example.com",
        "REPORT_RECIPIENTS": "desk@example.com, risk@example.com",
    }
    begins = datetime(DAY.year, DAY.month, DAY.day, 9, 25, tzinfo=EXCHANGE_TZ)
    simulator.clock.set(begins)
    with services(home, tmp_path):
        with running(simulator, begins):
            wait_for("the report", lambda: len(mail_host.accepted) >= 1, 240)
        night = datetime(NEXT.year, NEXT.month, NEXT.day, 1, 58, tzinfo=EXCHANGE_TZ)
        simulator.clock.set(night)
        with running(simulator, night):
            wait_for("the backup", lambda: any((home.home / "backups").glob("*.json")), 60)

    lake = Lake(home.home / "lake")
    five = [r for r in lake.read(Dataset.KLINE, Period.M5).to_pylist() if r["session"] == DAY]
    daily = [r for r in lake.read(Dataset.KLINE, Period.DAILY).to_pylist() if r["session"] == DAY]
    traded = {row["symbol"] for row in daily}
    assert len(traded) > 20
    assert {row["state"] for row in five + daily} == {"final"}
    assert len(five) == 48 * len(traded)
    assert home.run("verify", "--json").json["equal"] is True

    (mail,) = mail_host.accepted
    assert set(mail.recipients) == {"desk@example.com", "risk@example.com"}
    assert DAY.isoformat() in mail.message["subject"]
    attached = {part.get_filename(): part.get_content() for part in mail.message.iter_attachments()}
    (pdf,) = (content for name, content in attached.items() if str(name).endswith(".pdf"))
    pages = pypdfium2.PdfDocument(pdf)
    assert len(pages) >= 2
    front = pages[0].get_textpage().get_text_range()
    assert "2025-12-31" in front
    assert "Not complete" not in front

    (backup,) = json.loads(home.run("backups", "--json").stdout)["backups"]
    target = tmp_path / "restored.db"
    url = f"sqlite:///{target}"
    said = home.run("restore", backup["file"], "--to", url, "--yes")
    assert said.code == 0, said.stderr
    # Nothing but signs of life was written after the backup.
    after, restored = every_row(Database(home.sql())), every_row(Database(url))
    assert after.keys() == restored.keys()
    for name in after.keys() - {"installation"}:
        assert restored[name] == after[name], name
