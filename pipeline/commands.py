"""The commands by name: each module is imported when its command is called, not to list it.

All together take a second to import (SQLAlchemy, PyArrow, Redis); a listing needs names only.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is defined.

    Attributes:
        module: Its ``register(root)`` adds the command.
        says: The first paragraph of its help, for the listing.
    """

    module: str
    says: str


COMMANDS = {
    "sync": Place("pipeline.cli_sync", "Fetch what is missing, now."),
    "backfill": Place("pipeline.cli_sync", "Fetch what a past window lacks, behind the live lane."),
    "klines": Place(
        "pipeline.cli_read",
        "Print the bars held of one symbol or board; unadjusted unless asked otherwise.",
    ),
    "boards": Place(
        "pipeline.cli_read",
        "List boards, the members of one on any day since they were first synchronised, or "
        "changes.",
    ),
    "status": Place(
        "pipeline.cli_read",
        "What is held, how far it is complete, how requests are paced, and the newest runs.",
    ),
    "runs": Place("pipeline.cli_read", "List runs, or show one with the outcome of every fetch."),
    "symbols": Place(
        "pipeline.cli_symbols",
        "Show a symbol's id, codes and names with their dates, and when it was listed and "
        "delisted.",
    ),
    "doctor": Place(
        "pipeline.cli_heal",
        "Look at everything a sync needs and at every run under way; each finding with its remedy.",
    ),
    "schedule": Place(
        "pipeline.cli_schedule",
        "Print what the schedule will run, and what the gate of each run will say.",
    ),
    "inspect": Place("pipeline.cli_monitor", "What the workers do, and what waits in the queues."),
    "metrics": Place("pipeline.cli_monitor", "Serve the metrics of `status --metrics` over HTTP."),
    "flower": Place(
        "pipeline.cli_monitor", "Run the monitor Flower behind basic auth; never without it."
    ),
    "repair": Place(
        "pipeline.cli_heal",
        "Finish runs that are stuck, or abandon one. With --gaps: fetch only what is missing.",
    ),
    "verify": Place(
        "pipeline.cli_verify",
        "Compare Parquet and SQL, partition by partition: bar counts and content hashes.",
    ),
    "snapshots": Place(
        "pipeline.cli_snapshots",
        "How far the provisional 5m bars of a session were from the official ones.",
    ),
    "report": Place(
        "pipeline.cli_report",
        "Write the report of a session as HTML and PDF: what is late, why, and what is gone.",
    ),
    "quarantine": Place("pipeline.cli_quarantine", "What was fetched and not taken, and why."),
    "email": Place(
        "pipeline.cli_email", "Send an email, and say what became of it for each recipient."
    ),
    "emails": Place(
        "pipeline.cli_email", "List emails with what became of each recipient, the newest first."
    ),
    "backup": Place(
        "pipeline.cli_backup", "Back the database up, prove the backup, and let old ones go."
    ),
    "backups": Place("pipeline.cli_backup", "List the backups with their sizes and states."),
    "restore": Place(
        "pipeline.cli_backup",
        "Put a backup in the database's place; the database that was there is kept.",
    ),
    "cleanup": Place(
        "pipeline.cli_cleanup",
        "Remove old logs, staged files of no use, and what is past its retention.",
    ),
    "up": Place(
        "pipeline.cli_serve",
        "Run the whole embedded stack until Ctrl-C: Redis, workers, scheduler, a simulator if "
        "asked.",
    ),
    "web": Place(
        "pipeline.cli_web",
        "Serve the API and the page until Ctrl-C; beyond loopback only once a key was made.",
    ),
    "keys": Place("pipeline.cli_keys", "Who may ask the web application."),
    "bench": Place(
        "pipeline.cli_bench",
        "Measure what quantsync costs here; every figure beside what it is held against.",
    ),
    "simulator": Place(
        "pipeline.cli_serve",
        "Serve a market offline; --help lists its options (seed, symbols, clock, faults, replay).",
    ),
}
"""In the order of the listing; a test holds each text against the command's own."""


@cache
def load_commands(module: str) -> dict[str, Any]:
    """The commands that a module defines, by name; imports it."""
    root = typer.Typer()
    import_module(module).register(root)
    return dict(get_group(root).commands)


class CommandsOnDemand(TyperGroup):
    """A group that knows its commands by name and loads the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        listed = {name: TyperCommand(name, help=place.says) for name, place in COMMANDS.items()}
        super().__init__(**attributes | {"commands": listed})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command named first, then resolve as ever."""
        place = COMMANDS.get(args[0]) if args else None
        if place is not None:
            self.commands[args[0]] = load_commands(place.module)[args[0]]
        return super().resolve_command(ctx, args)
