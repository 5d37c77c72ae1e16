"""``quantsync cleanup``: what the installation needs no more."""

from dataclasses import asdict
from typing import Annotated

import typer

from admin_tasks.cleanup import Cleaned
from pipeline import output
from pipeline.cleaning import clean_up_of
from pipeline.options import Json
from pipeline.runtime import Runtime
from pipeline.settings import read_settings


def register(root: typer.Typer) -> None:
    """Add ``cleanup`` to the root command."""
    root.command("cleanup", epilog="Example: quantsync cleanup --dry-run")(_cleanup)


def _cleanup(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove old logs, staged files of no use, and what is past its retention.

    Staged files go by what the ledger says of their run, and never by age alone; runs that anything
    rests on stay. Exit code 1 if a part could not be done.
    """
    done = clean_up_of(Runtime(read_settings())).run(dry=dry_run)
    if as_json:
        output.print_json({"dry_run": dry_run, **asdict(done)})
    else:
        _print(done, dry=dry_run)
    if done.notices:
        raise typer.Exit(1)


def _print(done: Cleaned, *, dry: bool) -> None:
    verb = "would be removed" if dry else "removed"
    lines = [
        (name, things)
        for name, things in (
            ("log", done.logs),
            ("staged files of run", done.staged),
            ("sweeps of session", done.snapshots),
            ("run of the ledger", done.runs),
        )
        if things
    ]
    for name, things in lines:
        for thing in things:
            output.console.print(f"{verb}  {name} {thing}")
    if done.revisions:
        output.console.print(f"{verb}  {output.counted(done.revisions, 'revision')}")
    if done.minutes_before:
        many = "all" if done.minute_bars is None else f"{done.minute_bars:,}"
        output.console.print(
            f"{verb}  {many} minute bars before {done.minutes_before} from SQL; the lake keeps them"
        )
    for notice in done.notices:
        output.console.print(f"[yellow]left[/]  {output.plain(notice)}")
    if not (lines or done.revisions or done.minutes_before or done.notices):
        output.console.print("nothing to remove")
