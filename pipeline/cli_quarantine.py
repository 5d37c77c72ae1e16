"""``quantsync quarantine``: the bars and lists that were kept out, and deciding about them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from ingest.validation import RULES
from market.errors import UsageError
from market.periods import parse_fetched_period
from pipeline import output
from pipeline.options import From, Json, To, read_day
from pipeline.quarantine_deciding import (
    Chosen,
    accept,
    beside_held,
    broken_rules,
    choose,
    drop,
    read_ids,
)
from pipeline.quarantining import decider, read_name
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.kline_quarantine import BarDecision, BarEntry, BarFilter, BarQuarantine
from storage.list_entries import ListEntries, ListEntry
from storage.list_quarantine import QuarantineStatus

app = typer.Typer(no_args_is_help=True)

_BARS, _LISTS, _ALL = "bars", "lists", "all"
_SHOWN = 20
_Ids = Annotated[
    list[str], typer.Argument(metavar="ID…", help="b12 (a bar), l3 (a list), b12..b40 (a range).")
]
_Note = Annotated[str | None, typer.Option("--note", help="Why; kept with the decision.")]
_Status = Annotated[
    str, typer.Option("--status", help="open, accepted, dropped, superseded (lists) or all.")
]


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.add_typer(app, name="quarantine", help="What was fetched and not taken, and why.")
    app.command("list", epilog="Example: quantsync quarantine list 600519 --rule adjusted_prices")(
        _list
    )
    app.command("show", epilog="Example: quantsync quarantine show b12")(_show)
    app.command(
        "accept",
        epilog='Example: quantsync quarantine accept b12 --note "as on the exchange\'s page"',
    )(_accept)
    app.command("drop", epilog="Example: quantsync quarantine drop b12..b40 l3")(_drop)


def _list(
    subject: Annotated[
        str | None, typer.Argument(help="A symbol or board; or symbols, concept_boards …")
    ] = None,
    what: Annotated[str, typer.Option("--what", help="bars, lists or all.")] = _ALL,
    status: _Status = BarDecision.OPEN.value,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Only bars that break this rule.")
    ] = None,
    period: Annotated[str | None, typer.Option("--period", help="Only bars of it.")] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="Only what it fetched.")] = None,
    start: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of each.")] = 100,
    as_json: Json = False,
) -> None:
    """List what is in quarantine: bars that break a rule, lists that are not proven whole."""
    if what not in (_BARS, _LISTS, _ALL):
        raise UsageError(f"--what {what!r}: use bars, lists or all")
    if rule is not None and rule not in RULES:
        raise UsageError(f"--rule {rule!r} is no rule: use one of {', '.join(RULES)}")
    database = Runtime(read_settings()).database
    name = None if subject is None else read_name(subject)
    bars: list[BarEntry] = []
    lists: list[ListEntry] = []
    bar_status, list_status = _statuses(status)
    if what != _LISTS and (bar_status is not None or status == _ALL):
        wanted = BarFilter(
            subject=name,
            period=None if period is None else parse_fetched_period(period).value,
            status=bar_status,
            rule=rule,
            run_id=run_id,
            start=read_day(start, "--from"),
            end=read_day(end, "--to"),
        )
        bars = BarQuarantine(database).entries(wanted, limit)
    if what != _BARS and not (rule or period):
        lists = ListEntries(database).entries(
            name=name, status=list_status, run_id=run_id, limit=limit
        )
    if as_json:
        output.print_json(
            {"bars": [_bar_json(e) for e in bars], "lists": [_list_json(e) for e in lists]}
        )
        return
    _print_entries(bars, lists)
    if limit in (len(bars), len(lists)):
        output.messages.print(f"there may be more than {limit}: --limit shows them")


def _statuses(text: str) -> tuple[BarDecision | None, QuarantineStatus | None]:
    if text == _ALL:
        return None, None
    if text not in list(QuarantineStatus):
        raise UsageError(f"--status {text!r}: use {', '.join(QuarantineStatus)} or all")
    return (BarDecision(text) if text in list(BarDecision) else None), QuarantineStatus(text)


def _print_entries(bars: Sequence[BarEntry], lists: Sequence[ListEntry]) -> None:
    if not bars and not lists:
        output.console.print("nothing is in quarantine that answers to this")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("id", "what", "end or session", "status", "reasons"):
        table.add_column(column, no_wrap=column == "id")
    for bar in bars:
        end = str(bar.row.get("end_at", ""))[:16]
        reasons = ", ".join(bar.reasons)
        table.add_row(f"b{bar.id}", f"{bar.subject} {bar.period}", end, bar.status, reasons)
    for each in lists:
        reason = output.plain(each.reason)
        table.add_row(f"l{each.id}", each.name, f"{each.session}", each.status, reason)
    if table.row_count:
        output.console.print(table)


def _show(
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="b12 (a bar) or l3 (a list).")],
    as_json: Json = False,
) -> None:
    """Show one bar or list in quarantine, why it is there, and what is held in its place."""
    runtime = Runtime(read_settings())
    numbers, is_list = read_ids(entry_id)
    if len(numbers) != 1:
        raise UsageError(f"{entry_id!r} is a range: show takes one id, such as b12 or l3")
    number = numbers[0]
    if is_list:
        document = _list_document(runtime, ListEntries(runtime.database).entry(number))
    else:
        document = _bar_document(runtime, BarQuarantine(runtime.database).entry(number))
    if as_json:
        output.print_json(document)
        return
    for name, value in document.items():
        output.console.print(f"{name:<15}{output.plain(_line(value))}")


def _bar_document(runtime: Runtime, entry: BarEntry) -> dict[str, Any]:
    return {
        **_bar_json(entry),
        "reasons": broken_rules(entry),
        **beside_held(runtime, entry),
    }


def _list_document(runtime: Runtime, entry: ListEntry) -> dict[str, Any]:
    return {**_list_json(entry), **beside_held(runtime, entry)}


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(
            f"{key}: {each}" if each != "" else str(key) for key, each in value.items()
        )
    if isinstance(value, list | tuple):
        more = f" … and {len(value) - _SHOWN} more" if len(value) > _SHOWN else ""
        return ", ".join(map(str, value[:_SHOWN])) + more
    return "–" if value is None else str(value)


def _accept(ids: _Ids, note: _Note = None, as_json: Json = False) -> None:
    """Take bars or lists after all. A bar's source then ends in /hand; who and when is kept.

    A later fetch of the same values is accepted too, and changes nothing.
    """
    runtime = Runtime(read_settings())
    chosen = choose(runtime, ids)
    _report("accepted", chosen, accept(runtime, chosen, decider(), note), as_json=as_json)


def _drop(ids: _Ids, note: _Note = None, as_json: Json = False) -> None:
    """Settle that bars or lists are wrong; they stay on record.

    A later fetch of a dropped bar with the same values counts as a session without a bar. A dropped
    list is no sighting that could make it true in a later session.
    """
    runtime = Runtime(read_settings())
    chosen = choose(runtime, ids)
    _report("dropped", chosen, drop(runtime, chosen, decider(), note), as_json=as_json)


def _report(word: str, chosen: Chosen, said: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        output.print_json({word: chosen.ids, "said": list(said)})
        return
    for sentence in said:
        output.console.print(output.plain(sentence))


def _bar_json(entry: BarEntry) -> dict[str, Any]:
    return {**asdict(entry), "id": f"b{entry.id}", "reasons": list(entry.reasons)}


def _list_json(entry: ListEntry) -> dict[str, Any]:
    row = {**asdict(entry), "id": f"l{entry.id}"}
    del row["whole"]
    return row
