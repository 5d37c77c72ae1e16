"""``quantsync report``: what is late, why, and what can no longer be had, as a page and as PDF."""

import getpass
import socket
from dataclasses import asdict
from typing import Annotated, Any

import typer

from admin_tasks.report import MadeReport
from admin_tasks.report_summary import Verdict
from pipeline import output
from pipeline.options import Json, read_day
from pipeline.reporting import make_report
from pipeline.runtime import Runtime
from pipeline.settings import read_settings

_STYLES = {Verdict.COMPLETE: "green", Verdict.EMPTY: "cyan"}


def register(root: typer.Typer) -> None:
    """Add ``report`` to the root command."""
    root.command("report", epilog="Example: quantsync report --date 2025-12-31 --open")(_report)


def _report(
    day: Annotated[
        str | None,
        typer.Option("--date", metavar="SESSION", help="Default: the latest settled session."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write the report of a session as HTML and PDF: what is late, why, and what is gone."""
    session = read_day(day, "--date")
    user = f"{getpass.getuser()}@{socket.gethostname()}"
    made = make_report(Runtime(read_settings()), user, session)
    if as_json:
        output.print_json(_document(made))
    else:
        _print(made)
    if show and typer.launch(made.url) != 0:
        output.messages.print(f"no browser could be started: open {made.url}")
    if made.pdf is None:
        raise typer.Exit(1)


def _document(made: MadeReport) -> dict[str, Any]:
    summary = asdict(made.summary)
    return made.as_json() | {"summary": summary, "facts": asdict(made.facts)}


def _print(made: MadeReport) -> None:
    summary = made.summary
    style = _STYLES.get(summary.verdict, "yellow")
    output.console.print(f"[{style}]{output.plain(summary.headline)}[/]")
    for title, sentences in (
        ("late", summary.late),
        ("why", summary.why),
        ("gone", summary.gone),
        ("note", made.remarks),
    ):
        for sentence in sentences:
            output.console.print(f"  {title:<9} {output.plain(sentence)}")
    if summary.remedy:
        output.console.print(f"  to do     {summary.remedy}")
    for path in made.files:
        output.console.print(f"  report    {path}")
