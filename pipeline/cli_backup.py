"""``quantsync backup``, ``backups`` and ``restore``."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from admin_tasks.backup_files import Backup, BackupFolder, BackupState, Found
from admin_tasks.restore import Restore
from market.errors import UsageError
from pipeline import output
from pipeline.backups import backups_of, stack_at_rest, tools_of
from pipeline.options import Json
from pipeline.runtime import Runtime
from pipeline.settings import Settings, read_settings
from storage.database import Database

_STYLES = {BackupState.GOOD: "green", BackupState.UNFINISHED: "yellow"}


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.command("backup", epilog="Example: quantsync backup --json")(_backup)
    root.command("backups", epilog="Example: quantsync backups")(_backups)
    root.command(
        "restore",
        epilog="Example: quantsync restore quantsync-20251231T180000Z-1a2b3c.sqlite.zst --yes",
    )(_restore)


def _backup(as_json: Json = False) -> None:
    """Back the database up, prove the backup, and let old ones go.

    The backup shows one instant, writers are not held up, and it counts once it was restored on
    trial and holds the same rows. The lake is not in it: it is plain files, copied as such.
    """
    made = backups_of(Runtime(read_settings())).make()
    if as_json:
        document = _document(made.backup)
        output.print_json(
            {**document, "removed": list(made.removed), "notices": list(made.notices)}
        )
        return
    backup = made.backup
    output.console.print(
        f"[green]proven[/]: {backup.file}, {_size(backup.size)}, "
        f"{output.counted(sum(backup.rows.values()), 'row')} in "
        f"{output.counted(len(backup.rows), 'table')} of revision {backup.revision}"
    )
    for name in made.removed:
        output.console.print(f"removed {name}: newer ones stand for its day, week and month")
    for notice in made.notices:
        output.console.print(f"[yellow]note[/]: {output.plain(notice)}")


def _backups(as_json: Json = False) -> None:
    """List the backups with their sizes and states.

    Every file is read and its hash compared. Exit code 1 if one is damaged or missing.
    """
    folder = read_settings().backup_path
    found = BackupFolder(folder).entries()
    bad = [each for each in found if each.state in (BackupState.DAMAGED, BackupState.MISSING)]
    if as_json:
        rows = [_found_document(each) for each in found]
        output.print_json({"folder": str(folder), "good": not bad, "backups": rows})
    elif not found:
        output.console.print(f"there is no backup in {folder}: `quantsync backup` makes one")
    else:
        _print_found(folder, found)
    if bad:
        raise typer.Exit(1)


def _print_found(folder: Path, found: Sequence[Found]) -> None:
    output.console.print(f"{folder}")
    for each in found:
        style = _STYLES.get(each.state, "red")
        rows = ""
        if each.backup is not None:
            made_at = output.local_time(each.backup.instant.timestamp())
            rows = f"  {made_at}  {output.counted(sum(each.backup.rows.values()), 'row')}"
        output.console.print(
            f"[{style}]{each.state.value:<10}[/]  {each.file}  {_size(each.size):>10}{rows}"
        )
        if each.says:
            output.console.print(f"            {output.plain(each.says)}")


def _restore(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A backup: its path, or its name in the folder.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="URL", help="Another database; default: the installation's own."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a backup in the database's place; the database that was there is kept.

    Refused while a worker, a command or a run works with the database, and where the file is not
    the one that was made. The lake stays as it is: `quantsync verify --repair` takes over what it
    holds and the backup does not.
    """
    settings = read_settings()
    database = Database(to or settings.sql_url)
    own = to is None or database.url == Database(settings.sql_url).url
    if not own and database.is_sqlite:
        _check_place(settings, database.path)
    with stack_at_rest(settings) if own else nullcontext():
        restore = Restore(_found_file(settings, file), database, tools_of(settings))
        restore.check_idle()
        if not yes:
            _ask(restore.backup, database)
        done = restore.run()
    if as_json:
        output.print_json(
            {**_document(done.backup), "restored_to": done.database, "replaced": done.replaced}
        )
        return
    output.console.print(
        f"[green]restored[/]: {done.database} is as it was at "
        f"{output.local_time(done.backup.instant.timestamp())} (Shanghai)"
    )
    if done.replaced:
        output.console.print(f"the database that was there is kept as {done.replaced}")
    output.console.print(
        "the lake may hold more: `quantsync verify --repair` makes both the same again"
    )


def _check_place(settings: Settings, path: Path) -> None:
    """Make sure that a database is not put where others look after all files.

    Raises:
        UsageError: It would be.
    """
    folders = {
        "lake": settings.lake_path,
        "folder of staged batches": settings.staging_path,
        "folder of backups": settings.backup_path,
    }
    for name, folder in folders.items():
        if path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{path} is inside the {name} ({folder}), which is no place for a database: name "
                "another one with --to",
                {"path": str(path), "folder": str(folder)},
            )


def _found_file(settings: Settings, name: str) -> Path:
    for path in (Path(name).expanduser(), settings.backup_path / name):
        if path.is_file():
            return path.absolute()
    raise UsageError(
        f"there is no file {name}, neither here nor in {settings.backup_path}: `quantsync backups` "
        "lists them",
        {"file": name},
    )


def _ask(backup: Backup, database: Database) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked: say --yes")
    made_at = output.local_time(backup.instant.timestamp())
    typer.confirm(
        f"Put the backup of {made_at} (Shanghai) in the place of {database.address}?",
        abort=True,
        err=True,
    )


def _document(backup: Backup) -> dict[str, Any]:
    return asdict(backup)


def _found_document(found: Found) -> dict[str, Any]:
    row = {"file": found.file, "state": found.state.value, "size": found.size, "says": found.says}
    return {**row, "manifest": found.backup and _document(found.backup)}


def _size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
