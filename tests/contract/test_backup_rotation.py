"""Backups make way for newer ones that hold as much, and for no others."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from admin_tasks.backup import Backups
from admin_tasks.backup_files import Backup, BackupState, backup_name
from admin_tasks.backup_tasks import database_backup
from admin_tasks.handed import _makers
from admin_tasks.rotation import Keep
from storage.database import Database
from tests.fixtures.filled import fill


@pytest.fixture
def local(sqlite_database: Database, tmp_path: Path) -> Backups:
    """Backups of an empty SQLite file, of which one stays."""
    return Backups(sqlite_database, tmp_path / "backups", Keep(1, 0, 0))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_rotation_leaves_what_it_does_not_know_and_the_last_good_one(local: Backups) -> None:
    """The newest is damaged: an older one is the last good one, and stays."""
    backups = local
    backups.folder.path.mkdir()
    stranger = backups.folder.path / "quantsync-by-hand.db"
    stranger.write_bytes(b"mine")
    first = aged(backups, backups.make().backup, 3)
    second = backups.make()
    assert second.removed == (first.file,)
    older = aged(backups, second.backup, 3, leave=True)
    flip(backups.folder.path / second.backup.file)

    assert backups.rotate() == []

    left = {each.file: each.state for each in backups.folder.entries()}
    assert left[older.file] is BackupState.GOOD
    assert stranger.read_bytes() == b"mine"


def aged(backups: Backups, backup: Backup, days: int, *, leave: bool = False) -> Backup:
    """A backup as if it had been made so many days before; the one it was may be left beside it."""
    folder, at = backups.folder, backup.instant - timedelta(days=days)
    older = replace(
        backup, file=backup_name(at, backup.file[27:33], backup.backend), made_at=at.isoformat()
    )
    shutil.copy(folder.path / backup.file, folder.path / older.file)
    if not leave:
        folder.remove(backup.file)
    folder.admit(older)
    return older


def test_a_backup_of_a_lost_database_takes_no_fuller_ones_place(local: Backups) -> None:
    """Nor do those of the days after; once a comparable one stands for it, it goes."""
    fill(local.database)
    full = aged(local, local.make().backup, 9)
    empty = Backups(
        Database(f"sqlite:///{local.folder.path.parent / 'lost.db'}"),
        local.folder.path,
        Keep(1, 0, 0),
    )
    empty.database.migrate()
    poor = empty.make()
    empty.database.dispose()

    assert poor.removed == ()
    (said,) = poor.notices
    assert f"{poor.backup.file} holds far less than {full.file}" in said
    assert f"`quantsync restore {full.file}`" in said
    poorer = aged(local, poor.backup, 5)
    again = empty.make()
    empty.database.dispose()
    assert again.removed == (poorer.file,)
    assert f"than {full.file}" in again.notices[0]
    aged(local, again.backup, 4)

    done = local.make()

    assert full.file in done.removed
    assert done.notices == ()


def test_the_task_says_what_it_did_not_remove(
    local: Backups, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its log, and in its result."""
    fill(local.database)
    full = local.make().backup
    with local.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM kline_daily")
    monkeypatch.setitem(_makers, "admin_tasks.backup.Backups", lambda: local)

    result = database_backup()

    (said,) = result["notices"]
    assert f"far less than {full.file}" in said
    assert said in caplog.messages


def test_a_fuller_backup_stands_for_its_day_beside_a_poorer_one_of_the_evening(
    local: Backups,
) -> None:
    """Though the days after have good ones again."""
    fill(local.database)
    full = aged(local, local.make().backup, 3)
    at = full.instant + timedelta(milliseconds=1)
    poor = replace(
        full,
        file=backup_name(at, "ffffff", full.backend),
        made_at=at.isoformat(),
        rows={},
    )
    shutil.copy(local.folder.path / full.file, local.folder.path / poor.file)
    local.folder.admit(poor)

    assert Backups(local.database, local.folder.path, Keep(2, 0, 0)).make().removed == ()
    assert set(local.rotate()) == {full.file, poor.file}


def test_a_fuller_backup_stays_until_one_that_stands_for_it_was_read_and_is_good(
    local: Backups,
) -> None:
    """Its size is right, a bit of it is not."""
    fill(local.database)
    rotten = aged(local, local.make().backup, 5)
    full = aged(local, rotten, 4, leave=True)
    flip(local.folder.path / rotten.file)
    with local.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM kline_daily")

    assert local.make().removed == ()
    assert full.file in {each.file for each in local.folder.entries()}


def test_no_backup_of_the_last_24_hours_is_removed(local: Backups) -> None:
    """It may be the way back from an upgrade."""
    first = local.make().backup

    assert local.make().removed == ()
    day_old = aged(local, first, 1)
    assert local.rotate() == [day_old.file]
