"""``quantsync snapshots``: how far the provisional 5m bars of a session were from the official."""

from dataclasses import asdict
from typing import Annotated

import typer

from ingest.snapshots import SNAPSHOT
from pipeline import output
from pipeline.options import Json, read_day
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.snapshot_errors import SnapshotErrors, snapshot_errors


def register(root: typer.Typer) -> None:
    """Add ``snapshots`` to the root command."""
    root.command("snapshots", epilog="Example: quantsync snapshots --session 2025-12-31")(
        _snapshots
    )


def _snapshots(
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="DATE", help="Which session; default: the latest."),
    ] = None,
    as_json: Json = False,
) -> None:
    """How far the provisional 5m bars of a session were from the official ones."""
    settings = read_settings()
    runtime = Runtime(settings)
    day = read_day(session, "--session")
    if day is None:
        day = runtime.calendar.latest_started(runtime.clock(settings.quantsync_upstream).now())
    found = snapshot_errors(runtime.lake, runtime.database, day, SNAPSHOT)
    if as_json:
        output.print_json(asdict(found))
        return
    for line in _told(found):
        output.console.print(line)


def _told(found: SnapshotErrors) -> list[str]:
    if not found.compared and not found.waiting:
        return [f"{found.session}: no snapshots were taken, or no 5m bar was made of them"]
    bars = output.counted(found.compared, "provisional bar")
    symbols = output.counted(found.symbols, "symbol")
    waiting = f"{found.waiting:,} waiting for theirs"
    lines = [f"{found.session}: {bars} of {symbols} replaced by official ones, {waiting}"]
    if found.compared:
        off = f"{found.volume_off:,} of {found.volume_total:,} shares off"
        high = f"mean {found.high_mean_bp:g} bp off, largest {found.high_max_bp:g} bp"
        low = f"mean {found.low_mean_bp:g} bp off, largest {found.low_max_bp:g} bp"
        lines += [
            f"  volume  {_share(found, found.volume_exact)}; over the session {off}",
            f"  close   {_share(found, found.close_exact)}",
            f"  high    {_share(found, found.high_exact)}, {high}",
            f"  low     {_share(found, found.low_exact)}, {low}",
        ]
    return lines


def _share(found: SnapshotErrors, count: int) -> str:
    return f"{count / found.compared:.2%} exact"
