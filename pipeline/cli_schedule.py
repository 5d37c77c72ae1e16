"""``quantsync schedule``: what will run, and what the gate of each run will say."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from market.clock import SystemClock, in_shanghai, parse_instant
from market.errors import UsageError
from pipeline import output
from pipeline.forecasting import Foreseen, forecast
from pipeline.options import Json
from pipeline.settings import read_settings
from scheduling.gates import Gate


def register(root: typer.Typer) -> None:
    """Add the command to the root command."""
    root.command("schedule", epilog="Example: quantsync schedule --at 2025-12-31T09:00 --hours 8")(
        _schedule
    )


def _schedule(
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="INSTANT", help="From this instant of Shanghai on; default: now."
        ),
    ] = None,
    hours: Annotated[
        float, typer.Option("--hours", min=0.1, max=24 * 31, help="How far to look.")
    ] = 24,
    as_json: Json = False,
) -> None:
    """Print what the schedule will run, and what the gate of each run will say.

    Ticks in a row that serve nothing for the same reason are one line. Slots are taken to be served
    when they come due; what was missed before is served by the first tick.
    """
    start = in_shanghai(_read_instant(at))
    found = forecast(read_settings(), start, hours)
    if as_json:
        rows = [asdict(each) for each in found]
        output.print_json({"from": start, "hours": hours, "entries": rows})
        return
    _print(found, start)


def _read_instant(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        return parse_instant(text.strip())
    except ValueError:
        raise UsageError(
            f"--at {text!r} is not an instant: write it as 2025-12-31T09:00, in a year from "
            "1900 to 2999",
            {"option": "--at"},
        ) from None


def _print(found: Sequence[Foreseen], start: datetime) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("when (Shanghai)", "entry", "what happens"):
        table.add_column(name, no_wrap=True)
    day = None
    for each in found:
        at, until = in_shanghai(each.at), in_shanghai(each.until)
        shown = f"{at:%H:%M}" if at.date() == day else f"{at:%m-%d %H:%M}"
        day = at.date()
        if each.times > 1:
            last = f"{until:%H:%M}" if until.date() == day else f"{until:%m-%d %H:%M}"
            shown = f"{shown} … {last}"
        style = "green" if each.happens else "dim"
        table.add_row(shown, each.name, f"[{style}]{output.plain(each.says)}[/]")
    output.console.print(table)
    serving = sum(each.times for each in found if each.gate == Gate.SERVES)
    output.messages.print(
        f"{output.counted(serving, 'slot')} from {start:%Y-%m-%d %H:%M} on; the market's clock "
        "decides, and a slot that nobody served in time is served late"
    )
