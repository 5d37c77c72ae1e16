"""Backups and clean-up as they are used: by commands, and by a worker's tasks."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin_tasks.backup_files import BackupFolder, BackupState
from pipeline.bench.processes import stop, worker
from pipeline.bench.redis_server import RedisServer
from storage.database import Database
from storage.ledger import Ledger
from tests.contract.ledger_words import batch, open_run
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.filled import every_row, fill


@pytest.fixture
def database(installation: Installation, migrated_sqlite: Path) -> Iterator[Database]:
    """The installation's database."""
    installation.home.mkdir()
    shutil.copy(migrated_sqlite, installation.home / "quantsync.db")
    database = Database(installation.sql())
    yield database
    database.dispose()


@pytest.mark.lengthy
def test_a_worker_backs_up_and_cleans_up_when_it_is_told_to(
    installation: Installation, database: Database, redis_server: RedisServer, tmp_path: Path
) -> None:
    """The tasks find what they work with in a worker that is started as any other."""
    database.dispose()
    url = redis_server.url(7)
    environment = {**installation.variables, "CELERY_BROKER_URL": url}
    logs = installation.home / "logs"
    logs.mkdir()
    (logs / "old.log").write_text("said\n")
    os.utime(logs / "old.log", (1, 1))
    from celery import Celery  # noqa: PLC0415  (slow to import)

    with Celery(broker=url, set_as_current=False) as sender:
        for name in ("database_backup", "clean_up"):
            sender.send_task(f"admin_tasks.{name}", queue="default", ignore_result=True)
    admin = worker(environment, tmp_path / "worker.log", pool="solo", queues="default")
    folder = BackupFolder(installation.home / "backups")
    try:
        wait_for("the backup", lambda: [each.backup for each in folder.entries() if each.backup])
        wait_for("the clean-up", lambda: not (logs / "old.log").exists())
    finally:
        stop(admin)

    assert [each.state for each in folder.entries()] == [BackupState.GOOD]


def test_commands_make_list_and_restore_a_backup(
    installation: Installation, database: Database
) -> None:
    """No database is replaced while a worker shows signs of life."""
    fill(database)
    before = every_row(database)
    database.dispose()
    made = installation.run("backup", "--json").json
    assert made["notices"] == []
    assert made["rows"] == {name: len(rows) for name, rows in before.items()}
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM no_trade")
    database.dispose()
    alive = installation.home / "workers" / "quant@host.alive"
    alive.parent.mkdir()
    alive.touch()

    refused = installation.run("restore", made["file"], "--yes")
    assert refused.code == 1
    assert f"workers of {installation.home} are alive (quant@host)" in refused.stderr
    alive.unlink()
    place = installation.home / "lake" / "kline" / "x.db"
    refused = installation.run("restore", made["file"], "--yes", "--to", f"sqlite:///{place}")
    assert (refused.code, place.exists()) == (2, False)
    assert f"{place} is inside the lake" in refused.stderr
    done = installation.run("restore", made["file"], "--yes", "--json")

    assert done.code == 0, done.stderr
    assert Path(done.json["replaced"]).exists()
    assert every_row(database) == before
    (installation.home / "backups" / made["file"]).write_bytes(b"damaged")
    listed = installation.run("backups", "--json")
    assert (listed.code, listed.json["good"]) == (1, False)
    assert [each["state"] for each in listed.json["backups"]] == ["damaged"]


@pytest.mark.lengthy
def test_a_clean_up_removes_an_orphan_and_leaves_what_a_run_under_way_has_staged(
    installation: Installation, database: Database
) -> None:
    run_id = open_run(Ledger(database), (batch("600519.SH"),))
    database.dispose()
    orphan = "20250101T000000-0123abcd"
    folders = [installation.home / "staging" / name for name in (run_id, orphan)]
    for folder in folders:
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))

    done = installation.run("cleanup", "--json")

    assert (done.code, done.json["staged"]) == (0, [orphan])
    assert [folder.exists() for folder in folders] == [True, False]
