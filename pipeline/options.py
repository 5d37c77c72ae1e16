"""Options that several commands share, and the texts they are read from."""

from datetime import date
from typing import Annotated

import typer

from market.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Symbols = Annotated[
    str | None,
    typer.Option(
        "--symbols",
        metavar="LIST",
        help="Comma-separated symbols (boards: BK codes) in any spelling; default: all listed.",
    ),
]
PeriodName = Annotated[str, typer.Option("--period", help="daily, 5m or 1m.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="First day, 2024-01-02 or 20240102.")
]
To = Annotated[
    str | None, typer.Option("--to", metavar="DATE", help="Last day; default: the latest session.")
]
UpstreamName = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        metavar="live|simulator|URL",
        help="live: Eastmoney; simulator: start one for the run; URL: a simulator that is up. "
        "Default: QUANTSYNC_UPSTREAM, else live.",
    ),
]


def read_day(text: str | None, option: str) -> date | None:
    """Read a day given as 2024-01-02 or 20240102.

    Raises:
        UsageError: Not a date.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a date: write it as 2024-01-02", {"option": option}
        ) from None


def split_names(text: str | None) -> tuple[str, ...] | None:
    """Names between commas or white space; None if nothing was given.

    Raises:
        UsageError: Something was given, but no name.
    """
    if text is None:
        return None
    names = tuple(text.replace(",", " ").split())
    if not names:
        raise UsageError("--symbols names nothing: give at least one, such as 600519")
    return names
