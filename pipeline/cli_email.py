"""``quantsync email`` and ``quantsync emails``: sending one, and what became of all."""

import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from market.errors import UsageError
from pipeline import output
from pipeline.emailing import attachable, interruption, send_here, send_through_queue
from pipeline.options import Json
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.email_ledger import EmailLedger
from storage.email_records import UNHAPPY, DeliveryState, EmailEntry

_INTERRUPTED = 130
_STYLES = {DeliveryState.ACCEPTED: "green", **dict.fromkeys(UNHAPPY, "red")}


def register(root: typer.Typer) -> None:
    """Add ``email`` and ``emails`` to the root command."""
    root.command(
        "email",
        epilog='Example: quantsync email desk@example.com --subject "Report" --body "See below." '
        "--attach report.pdf",
    )(_email)
    root.command("emails", epilog="Example: quantsync emails --failed")(_emails)


def _email(
    to: Annotated[
        list[str], typer.Argument(metavar="TO…", help="Addresses; Name <name@example.com> too.")
    ],
    subject: Annotated[str, typer.Option("--subject", help="One line.")],
    body: Annotated[str, typer.Option("--body", help="Plain text; - reads it from stdin.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="File with the same as HTML, for who reads that.")
    ] = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            "--attach", help="File below the reports folder, and no other; may be repeated."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            help="Names the mail: sent again under it, it goes only to those who have certainly "
            "not had it. Default: a new one.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send an email, and say what became of it for each recipient.

    With a configured broker the admin worker sends it, otherwise this command does.
    """
    settings = read_settings()
    runtime = Runtime(settings)
    name = f"command:{uuid.uuid4().hex[:16]}" if key is None else key
    words: dict[str, Any] = {
        "to": to,
        "subject": subject,
        "body": sys.stdin.read() if body == "-" else body,
        "html": None if html is None else _read(html),
        "key": name,
        "attachments": attachable(attach or []),
    }
    say = output.RunProgress(quiet=as_json).say
    send = send_here if settings.is_embedded else send_through_queue
    try:
        document = send(runtime, words, say)
    except KeyboardInterrupt:
        output.messages.print(output.plain(interruption(runtime, name, to, sys.argv[1:])))
        # Not typer.Exit, to whose code the root adds what is true of runs, and not of mails.
        sys.exit(_INTERRUPTED)
    if as_json:
        output.print_json(document)
    else:
        _show(document)
    states = {each["state"] for each in document["recipients"].values()}
    if states != {DeliveryState.ACCEPTED}:
        raise typer.Exit(1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--html {path} cannot be read as UTF-8 text ({error})") from error


def _show(document: dict[str, Any]) -> None:
    for recipient, each in document["recipients"].items():
        style = _STYLES.get(DeliveryState(each["state"]), "yellow")
        said = " ".join(str(word) for word in (each["code"], each["reason"]) if word)
        if each["had_already"]:
            said = f"had it already (accepted at {output.local_time(each['at'])} Shanghai)"
        output.console.print(
            f"[{style}]{each['state']:<10}[/] {output.plain(recipient)}  {output.plain(said)}"
        )
    output.messages.print(f"email {output.plain(document['key'])}")


def _emails(
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="Only refused, failed and uncertain ones, and those that nobody will try again.",
        ),
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many recipients.")] = 100,
    as_json: Json = False,
) -> None:
    """List emails with what became of each recipient, the newest first."""
    settings = read_settings()
    ledger = EmailLedger(Runtime(settings).database)
    if failed:
        entries = ledger.entries(only=UNHAPPY, overdue=settings.email_retry_s, limit=limit)
    else:
        entries = ledger.entries(limit=limit)
    if as_json:
        output.print_json({"emails": [_json(entry) for entry in entries]})
        return
    if not entries:
        output.console.print("no email failed" if failed else "no email was ever sent")
        return
    output.console.print(_table(entries))
    if len(entries) == limit:
        output.messages.print(f"there may be more than {limit}: --limit shows them")


def _json(entry: EmailEntry) -> dict[str, Any]:
    fields = asdict(entry)
    delivery = fields.pop("delivery")
    return {**fields, **delivery, "state": entry.delivery.state.value}


def _table(entries: Sequence[EmailEntry]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("changed (Shanghai)", "recipient", "state", "tries", "subject", "key", "answer"):
        table.add_column(name, justify="right" if name == "tries" else "left")
    for entry in entries:
        each = entry.delivery
        style = _STYLES.get(each.state, "yellow")
        answer = " ".join(str(word) for word in (each.code, each.reason) if word)
        table.add_row(
            output.local_time(each.changed_at),
            output.plain(each.recipient),
            f"[{style}]{each.state.value}[/]",
            str(each.attempts),
            output.plain(entry.subject),
            output.plain(entry.key),
            output.plain(answer),
        )
    return table
