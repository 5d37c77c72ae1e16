"""A backup shows one instant, counts once it is proven, and restores to the same rows."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text

import admin_tasks.backup
from admin_tasks.backup import Backups
from admin_tasks.backup_files import (
    BackupBusyError,
    BackupError,
    BackupFolder,
    BackupState,
)
from admin_tasks.postgresql_backup import name_beside
from admin_tasks.postgresql_tools import PostgresqlToolError, PostgresqlTools
from admin_tasks.restore import DatabaseInUseError, Restore
from admin_tasks.rotation import Keep
from market.errors import UsageError
from storage.database import Database
from storage.errors import CorruptFileError, StorageError
from storage.ledger import Ledger
from storage.tables import board, symbol
from tests.contract.ledger_words import batch, open_run
from tests.fixtures.cli import wait_for
from tests.fixtures.filled import every_row, fill
from tests.fixtures.mounts import small


@pytest.fixture
def backups(database: Database, tmp_path: Path, tools: PostgresqlTools) -> Backups:
    """Backups of an empty database of each kind."""
    return Backups(database, tmp_path / "backups", tools=tools)


@pytest.fixture
def local(sqlite_database: Database, tmp_path: Path) -> Backups:
    """Backups of an empty SQLite file, of which one stays."""
    return Backups(sqlite_database, tmp_path / "backups", Keep(1, 0, 0))


@pytest.fixture
def elsewhere(database: Database, tmp_path: Path) -> Database:
    """Another place for a database of the same kind, where none is."""
    if database.is_sqlite:
        return Database(f"sqlite:///{tmp_path / 'elsewhere' / 'restored.db'}")
    url = database.url.set(database=f"{database.url.database}_elsewhere")
    return Database(url.render_as_string(hide_password=False))


def restored(
    backups: Backups, name: str, to: Database, tools: PostgresqlTools
) -> dict[str, list[tuple[object, ...]]]:
    Restore(backups.folder.path / name, to, tools).run()
    rows = every_row(to)
    to.dispose()
    return rows


def states(backups: Backups) -> list[BackupState]:
    return [each.state for each in backups.folder.entries()]


def test_a_restored_database_equals_the_original(
    backups: Backups, database: Database, elsewhere: Database, tools: PostgresqlTools
) -> None:
    """All tables, all rows."""
    fill(database)
    before = every_row(database)
    assert all(before.values())

    made = backups.make()

    assert every_row(database) == before
    assert made.backup.rows == {name: len(rows) for name, rows in before.items()}
    assert states(backups) == [BackupState.GOOD]
    assert restored(backups, made.backup.file, elsewhere, tools) == before


def test_a_backup_made_while_a_writer_writes_shows_one_instant(
    backups: Backups, database: Database, elsewhere: Database, tools: PostgresqlTools
) -> None:
    """Each transaction adds a symbol and a board: no backup has one without the other."""
    written, over = [0], threading.Event()

    def write() -> None:
        while not over.is_set():
            with database.writing() as connection:
                number = written[0]
                connection.execute(symbol.insert().values(symbol=f"s{number}", listed=True))
                connection.execute(board.insert().values(code=f"b{number}", active=True))
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for("the writer", lambda: written[0] > 20)
        begun = written[0]
        made = backups.make()
        wait_for("the writer goes on", lambda: written[0] > begun + 20)
    finally:
        over.set()
        writer.join()
    rows = restored(backups, made.backup.file, elsewhere, tools)

    assert begun <= len(rows["symbol"]) == len(rows["board"]) < written[0]
    assert made.backup.rows["symbol"] == len(rows["symbol"])


def test_the_database_that_was_there_is_kept(
    backups: Backups, database: Database, tools: PostgresqlTools
) -> None:
    """Beside its place, with what it held."""
    fill(database)
    before = every_row(database)
    made = backups.make()
    with database.writing() as connection:
        connection.execute(symbol.insert().values(id=99, symbol="920001.BJ", listed=True))
    after = every_row(database)
    database.dispose()

    done = Restore(backups.folder.path / made.backup.file, database, tools).run()

    assert every_row(database) == before
    database.dispose()
    assert done.replaced is not None
    if database.is_sqlite:
        kept = Database(f"sqlite:///{done.replaced}")
    else:
        url = database.url.set(database=done.replaced)
        kept = Database(url.render_as_string(hide_password=False))
    assert every_row(kept) == after
    kept.dispose()


def test_a_damaged_database_is_replaced_and_its_journal_goes_with_it(local: Backups) -> None:
    """A journal that stayed would be played into the restored file."""
    database = local.database
    fill(database)
    before = every_row(database)
    name = local.make().backup.file
    database.dispose()
    database.path.write_bytes(b"no database at all" * 1000)
    database.path.with_name("test.db-wal").write_bytes(b"its journal")

    done = Restore(local.folder.path / name, database).run()

    assert every_row(database) == before
    assert done.replaced is not None
    assert Path(f"{done.replaced}-wal").read_bytes() == b"its journal"


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_backup_is_refused_and_nothing_is_touched(
    local: Backups, damage: Callable[[Path], None]
) -> None:
    name = local.make().backup.file
    before = every_row(local.database)
    damage(local.folder.path / name)

    with pytest.raises(CorruptFileError, match="is not the one that was made"):
        Restore(local.folder.path / name, local.database)

    assert every_row(local.database) == before
    assert states(local) == [BackupState.DAMAGED]


def test_a_backup_that_restores_to_other_rows_than_were_there_is_thrown_away(
    local: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a table had lost a row on the way: the proof counts them."""
    fill(local.database)
    dump = Backups._dump

    def one_row_more(self: Backups, to: Path) -> object:
        contents, content = dump(self, to)
        return replace(contents, rows={**contents.rows, "symbol": 4}), content

    monkeypatch.setattr(Backups, "_dump", one_row_more)
    with pytest.raises(BackupError, match="3 rows instead of 4 rows in symbol"):
        local.make()

    assert states(local) == []


def test_a_backup_killed_in_the_middle_leaves_nothing_that_counts(
    backups: Backups, database: Database
) -> None:
    """Killed when it is written and restored on trial; the next one clears up."""
    _kill_at(backups.make, admin_tasks.backup, "difference")

    assert states(backups) == []
    assert [path.name for path in backups.folder.path.iterdir()] != [".lock"]
    backups.make()
    assert states(backups) == [BackupState.GOOD]
    assert len(list(backups.folder.path.iterdir())) == 3  # the lock, the file and its manifest
    if not database.is_sqlite:
        trial = name_beside(database, "backup_trial", "")
        with database.reading() as connection:
            query = text("SELECT count(*) FROM pg_database WHERE starts_with(datname, :like)")
            assert connection.scalar(query, {"like": trial}) == 0


def test_a_file_whose_manifest_was_never_written_is_no_backup(local: Backups) -> None:
    """Killed between the two: it is listed as unfinished, cannot be restored, and is left alone."""
    _kill_at(local.make, BackupFolder, "admit")

    (found,) = local.folder.entries()
    assert found.state is BackupState.UNFINISHED
    with pytest.raises(BackupError, match="it was never proven whole"):
        Restore(local.folder.path / found.file, local.database)
    assert local.make().removed == ()
    assert sorted(states(local)) == [BackupState.GOOD, BackupState.UNFINISHED]


def _kill_at(work: Callable[[], object], holder: object, name: str) -> None:
    """Do something in a process that is killed when it comes to a function."""
    child = os.fork()
    if not child:
        try:
            setattr(holder, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_two_backups_at_once_are_refused(local: Backups) -> None:
    with (
        local.folder.alone(),
        pytest.raises(BackupBusyError, match=f"is in use by process {os.getpid()}"),
    ):
        Backups(local.database, local.folder.path).make()


def test_two_hosts_do_not_back_up_one_server_at_once(
    postgresql_url: str, tmp_path: Path, tools: PostgresqlTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would drop the other's trial database."""
    database = Database(postgresql_url)
    one, other = (Backups(database, tmp_path / name, tools=tools) for name in ("one", "other"))
    said: list[str] = []

    def meanwhile(*_: object) -> None:
        with pytest.raises(BackupBusyError) as caught:
            other.make()
        said.append(caught.value.message)

    monkeypatch.setattr(one, "_prove", meanwhile)
    one.make()

    assert "is being backed up by another host" in said[0]
    database.dispose()


def test_a_backup_of_a_newer_version_is_refused(local: Backups) -> None:
    with local.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    name = local.make().backup.file

    with pytest.raises(UsageError, match="of revision 9999 of the tables, which this version"):
        Restore(local.folder.path / name, local.database)


def test_a_backup_of_the_other_kind_of_database_is_refused(local: Backups) -> None:
    name = local.make().backup.file

    with pytest.raises(UsageError, match="name a database of the same kind"):
        Restore(local.folder.path / name, Database("postgresql://nobody@localhost/none"))


def test_a_database_with_a_run_under_way_is_not_replaced(local: Backups) -> None:
    run_id = open_run(Ledger(local.database), (batch("600519.SH"),))
    name = local.make().backup.file
    local.database.dispose()

    with pytest.raises(DatabaseInUseError, match=f"run {run_id} is under way"):
        Restore(local.folder.path / name, local.database).run()

    assert Ledger(local.database).status(run_id)


def test_a_database_that_another_process_has_open_is_not_replaced(
    backups: Backups, database: Database, tools: PostgresqlTools
) -> None:
    """The restored one would take its place, and the other process would write into the old one."""
    name = backups.make().backup.file
    url = database.url.render_as_string(hide_password=False)
    database.dispose()
    script = (
        "import sys; from storage.database import Database\n"
        f"with Database({url!r}).reading() as c: c.exec_driver_sql('SELECT 1'); print(flush=True); "
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    try:
        who = f"process {other.pid} " if database.is_sqlite else "session"
        with pytest.raises(DatabaseInUseError, match=who):
            Restore(backups.folder.path / name, database, tools).run()
    finally:
        other.communicate()
    with database.reading() as connection:
        assert connection.execute(select(symbol)).all() == []


def test_a_restored_database_keeps_its_encoding_and_its_neighbours(
    postgresql_url: str, tmp_path: Path, tools: PostgresqlTools
) -> None:
    """A name that only looks like a trial database's is somebody's own."""
    server = Database(postgresql_url)
    name = f"{server.url.database}_latin"
    other = f"{name}_backup_trial_mine"
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        latin = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(text(f"CREATE DATABASE {name} {latin}"))
        connection.execute(text(f"CREATE DATABASE {other}"))
    database = Database(server.url.set(database=name).render_as_string(hide_password=False))
    made = Backups(database, tmp_path / "backups", tools=tools).make()
    database.dispose()

    done = Restore(tmp_path / "backups" / made.backup.file, database, tools).run()

    query = text(
        "SELECT datname, pg_encoding_to_char(encoding) FROM pg_database "
        "WHERE starts_with(datname, :name)"
    )
    with server.reading() as connection:
        found = {row[0]: row[1] for row in connection.execute(query, {"name": name})}
    assert found == {name: "LATIN1", done.replaced: "LATIN1", other: "UTF8"}
    server.dispose()


def test_programs_that_are_missing_or_too_old_are_named(
    postgresql_url: str, tmp_path: Path
) -> None:
    database = Database(postgresql_url)
    with pytest.raises(PostgresqlToolError, match=f"pg_dump is not in {tmp_path}: install"):
        Backups(database, tmp_path / "backups", tools=PostgresqlTools(tmp_path)).make()
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    old.chmod(0o755)
    with pytest.raises(PostgresqlToolError, match=r"is of version 9 and the server of \d+"):
        Backups(database, tmp_path / "backups", tools=PostgresqlTools(tmp_path)).make()
    database.dispose()


def test_a_password_goes_by_the_environment_and_stands_on_no_command_line(tmp_path: Path) -> None:
    """Every user of a machine can read the command lines of all."""
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@"\necho "$PGPASSWORD"\n')
    program.chmod(0o755)
    for address in ("u:s%40cret@h:1/d?sslmode=require", "u@h:1/d?password=s%40cret"):
        database = Database(f"postgresql://{address}")
        with (tmp_path / "said").open("wb") as said:
            PostgresqlTools().run(str(program), ["--format=custom"], database.url, said)
        words, secret = (tmp_path / "said").read_text().splitlines()
        assert "cret" not in words
        assert secret == "s@cret"
        assert "--dbname=postgresql://u@h:1/d" in words


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_leaves_nothing_half_done(tmp_path: Path, migrated_sqlite: Path) -> None:
    """The folder has no room for the copy: a clear error, and only the lock is left."""
    (tmp_path / "home").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "home" / "quantsync.db")
    folder = tmp_path / "small"
    folder.mkdir()
    command = [sys.executable, "-m", "pipeline.cli", "backup"]
    shown = "; code=$?; ls -A " + str(folder) + "; exit $code"
    done = subprocess.run(
        small(folder, "64k", "sh", "-c", '"$@"' + shown, "sh", *command),
        env={**os.environ, "QUANTSYNC_HOME": str(tmp_path / "home"), "BACKUP_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "cannot be written (No space left on device)" in done.stderr
    assert done.stdout.split() == [".lock"]


def test_a_user_who_may_create_no_database_is_told_what_to_grant(
    postgresql_url: str, tmp_path: Path, tools: PostgresqlTools
) -> None:
    """Where the backup would be proven; no file is left."""
    owner = Database(postgresql_url)
    with owner.writing() as connection:
        connection.execute(text(f"CREATE ROLE {owner.url.database}_user LOGIN"))
    owner.dispose()
    url = owner.url.set(username=f"{owner.url.database}_user")
    database = Database(url.render_as_string(hide_password=False))

    with pytest.raises(StorageError, match=r"permission denied to create database.*CREATEDB"):
        Backups(database, tmp_path / "backups", tools=tools).make()

    database.dispose()
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [".lock"]
