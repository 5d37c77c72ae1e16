"""Commands that only read: klines, boards, status, runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.table import Table

from market.adjustments import Adjustment
from market.bars import BarState
from market.boards import parse_board_code
from market.errors import UsageError
from market.periods import parse_period
from market.sessions import Window
from pipeline import output
from pipeline.adjust_reading import adjust_notices, read_adjusting
from pipeline.cli_adjust import AdjustmentName, MethodName, read_names
from pipeline.cli_boards import print_changes, read_kind
from pipeline.freshness import read_held
from pipeline.kline_query import KlineQuery, NothingHeldError, read_bars, read_subject
from pipeline.kline_reading import (
    AnyPeriod,
    AsOfText,
    Revisions,
    evidence_for,
    instants_as_text,
    read_instant,
    read_replaced,
    reader_for,
    what_to_sync,
)
from pipeline.member_reading import check_past, read_members
from pipeline.options import From, Json, To, read_day
from pipeline.pacing_reading import read_pacing
from pipeline.pacing_view import pacing_json, pacing_lines
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.aliases import read_aliases
from storage.run_records import SUCCESSES, RunState, RunStatus


def register(root: typer.Typer) -> None:
    """Add the reading commands to the root command."""
    root.command(
        "klines", epilog="Example: quantsync klines 600519 --from 2024-01-02 --format csv"
    )(_klines)
    root.command("boards", epilog="Example: quantsync boards --members BK0477 --on 2025-12-31")(
        _boards
    )
    root.command("status", epilog="Example: quantsync status --json")(_status)
    root.command("runs", epilog="Example: quantsync runs 20251231T080000-1a2b3c4d --failures")(
        _runs
    )


def _klines(
    symbol: Annotated[str, typer.Argument(help="Symbol or board (BK…) in any spelling.")],
    period: AnyPeriod = "daily",
    start: From = None,
    end: To = None,
    as_of: AsOfText = None,
    revisions: Revisions = False,
    adjust: AdjustmentName = "none",
    method: MethodName = "ratio",
    form: Annotated[
        str, typer.Option("--format", help="table, csv, json or parquet (with --out).")
    ] = "table",
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Print the bars held of one symbol or board; unadjusted unless asked otherwise."""
    form = "json" if as_json else form
    if form not in ("table", "csv", "json", "parquet"):
        raise UsageError(f"--format {form!r}: use table, csv, json or parquet")
    if form == "parquet" and out is None:
        raise UsageError("--format parquet needs --out FILE")
    instant = read_instant(as_of)
    if revisions and instant is not None:
        raise UsageError("--revisions and --as-of do not go together: give one of them")
    if revisions and adjust != Adjustment.NONE:
        raise UsageError(
            "--revisions shows bars as they were stored, unadjusted: leave --adjust out"
        )
    runtime = Runtime(read_settings())
    length = parse_period(period)
    window = _window(start, end, runtime)
    dataset, name = read_subject(symbol, lambda: read_aliases(runtime.database))
    if revisions:
        replaced = read_replaced(runtime, dataset, name, length, window)
        _print_bars(replaced, form, out)
        if not replaced.num_rows:
            output.messages.print(f"no {length.value} bar of {name} gave way to another one")
        return
    wanted = read_adjusting(runtime, dataset, name, *read_names(adjust, method), instant)
    query = KlineQuery(dataset, name, length, window, as_of=instant)
    evidence = evidence_for(runtime, dataset, name, length, instant)
    bars = read_bars(query, reader_for(runtime, instant), wanted, evidence)
    if not bars.num_rows:
        raise NothingHeldError(
            f"no {length.value} bars of {name} "
            + (f"were held at {instant:%Y-%m-%d %H:%M:%S}" if instant else "are held")
            + _within(start, end)
            + f": {what_to_sync(length)}",
            {"symbol": name, "period": length.value},
        )
    _print_bars(bars.drop_columns("state"), form, out)
    _note_provisional(bars)
    for sentence in adjust_notices(runtime, name, bars, wanted, instant):
        output.messages.print(sentence)


def _within(start: str | None, end: str | None) -> str:
    """The days asked for, as the end of a sentence."""
    return (f" from {start}" if start else "") + (f" to {end}" if end else "")


def _note_provisional(bars: pa.Table) -> None:
    """Say which of the bars can still change; stdout keeps its format."""
    open_ends = [
        f"{row['end_at']:%Y-%m-%d %H:%M}"
        for row in bars.select(["end_at", "state"]).to_pylist()
        if row["state"] == BarState.PROVISIONAL.value
    ]
    if open_ends:
        which = ", ".join(open_ends) if len(open_ends) < 4 else f"{open_ends[0]} … {open_ends[-1]}"
        are = "is" if len(open_ends) == 1 else "are"
        output.messages.print(
            f"{len(open_ends)} of {output.counted(bars.num_rows, 'bar')} {are} provisional and can "
            f"still change: {which}"
        )


def _window(start: str | None, end: str | None, runtime: Runtime) -> Window | None:
    first, last = read_day(start, "--from"), read_day(end, "--to")
    if first is None and last is None:
        return None
    return Window(first or runtime.calendar.first_session, last or date.max)


def _print_bars(bars: pa.Table, form: str, out: Path | None) -> None:
    if form == "parquet":
        from pyarrow import parquet  # noqa: PLC0415

        assert out is not None
        with _writing(out):
            parquet.write_table(bars, out, compression="zstd")
        output.messages.print(f"{output.counted(bars.num_rows, 'bar')} in {out}")
        return
    rows = instants_as_text(bars).to_pylist()
    if form == "table":
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in bars.column_names:
            table.add_column(name, justify="left" if name == "end_at" else "right")
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        output.console.print(table)
        return
    if form == "json":
        text = output.json_text(rows)
    else:
        import csv  # noqa: PLC0415
        import io  # noqa: PLC0415

        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, bars.column_names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
    if out is None:
        typer.echo(text, nl=False)
    else:
        with _writing(out):
            out.write_text(text, encoding="utf-8")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Tell why a file cannot be written, in one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error.strerror or error}") from error


def _boards(
    kind: Annotated[str | None, typer.Option("--kind", help="concept or industry.")] = None,
    members: Annotated[
        str | None, typer.Option("--members", metavar="BKxxxx", help="Members of this board.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="DATE", help="As of this day; default: the latest."),
    ] = None,
    changes: Annotated[
        bool, typer.Option("--changes", help="What changed from --from to --to.")
    ] = False,
    start: From = None,
    end: To = None,
    as_json: Json = False,
) -> None:
    """List boards, the members of one on any day since they were first synchronised, or changes."""
    runtime = Runtime(read_settings())
    if changes:
        if members is not None or on is not None:
            raise UsageError("--changes takes --from, --to and --kind, not --members or --on")
        print_changes(runtime, kind, read_day(start, "--from"), read_day(end, "--to"), as_json)
        return
    if start is not None or end is not None:
        raise UsageError("--from and --to need --changes")
    if members is not None:
        _print_members(runtime, parse_board_code(members), read_day(on, "--on"), as_json=as_json)
        return
    if on is not None:
        raise UsageError("--on needs --members BKxxxx")
    boards = runtime.catalog.boards(read_kind(kind))
    if not boards:
        raise NothingHeldError(
            "no boards are held: `quantsync sync concepts` and `sync industries` fetch them"
        )
    if as_json:
        output.print_json([{"board": b.code, "kind": b.kind, "name": b.name} for b in boards])
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("board", "kind", "name"):
        table.add_column(name)
    for board in boards:
        table.add_row(board.code, board.kind, board.name)
    output.console.print(table)


def _print_members(runtime: Runtime, board: str, on: date | None, *, as_json: bool) -> None:
    check_past(on, f"--on {on}")
    answer = read_members(runtime, board, on)
    known_from, known_to = answer.known_from, answer.known_to
    rows = [{"symbol": m.symbol, "name": m.name} for m in answer.members]
    if on is not None and known_to is not None and on > known_to:
        output.messages.print(
            f"nothing is known of {on}: the members of {board} are known up to {known_to}, and "
            "these are of that day; `quantsync sync` brings them up to date"
        )
    if as_json:
        known = {"known_from": known_from, "known_to": known_to}
        output.print_json({"board": board, "on": on, **known, "members": rows})
        return
    for row in rows:
        output.console.print(f"{row['symbol']}  {row['name']}")
    output.messages.print(
        f"{output.counted(len(rows), 'member')}, known from {known_from} to {known_to}"
    )


def _status(
    as_json: Json = False,
    metrics: Annotated[
        bool,
        typer.Option("--metrics", help="Everything as metrics, in the OpenMetrics text format."),
    ] = False,
) -> None:
    """What is held, how far it is complete, how requests are paced, and the newest runs."""
    if metrics:
        from pipeline.attaching import attach  # noqa: PLC0415
        from pipeline.metrics import exposition, read_metrics  # noqa: PLC0415

        sys.stdout.write(exposition(read_metrics(Runtime(attach(read_settings())))))
        return
    pacing = read_pacing(read_settings())
    runtime = Runtime(read_settings())
    held = [
        {**asdict(row), "dataset": row.dataset.value, "period": row.period.value}
        for row in read_held(runtime.database)
    ]
    running = runtime.ledger.runs(10, state=RunState.RUNNING)
    latest = runtime.ledger.runs(5)
    document: dict[str, Any] = {
        "home": str(runtime.settings.home),
        "database": runtime.database.address,
        "lake": str(runtime.settings.lake_path),
        "held": held,
        "pacing": pacing_json(pacing),
        "running": [
            {**output.status_json(run), "outlook": _outlook(runtime, run)} for run in running
        ],
        "latest": [output.status_json(run) for run in latest],
    }
    if as_json:
        output.print_json(document)
        return
    output.console.print(f"home      {document['home']}\ndatabase  {document['database']}")
    if not held:
        output.console.print("held      nothing yet: `quantsync sync all` begins")
    for row in held:
        output.console.print(
            f"held      {row['dataset']} {row['period']}: {row['series']} series, complete from "
            f"{row['complete_from']} to {row['complete_to']} "
            f"({row['behind']} end earlier)"
        )
    for line in pacing_lines(pacing):
        output.console.print(output.plain(line), highlight=False)
    for run in document["running"]:
        output.console.print(f"running   {run['kind']} {run['period']} (run {run['run_id']})")
        for sentence in run["outlook"]:
            output.console.print(f"            {output.plain(sentence)}")
    output.console.print(output.runs_table(latest) if latest else "no runs yet")


def _outlook(runtime: Runtime, run: RunStatus) -> list[str]:
    from pipeline.diagnosis import outlook  # noqa: PLC0415  (Redis and Celery: if something runs)

    return outlook(runtime, run)


def _runs(
    run_id: Annotated[str | None, typer.Argument(help="One run; default: the newest.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 20,
    failures: Annotated[
        bool, typer.Option("--failures", help="Only what was not done, with reasons.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List runs, or show one with the outcome of every fetch."""
    ledger = Runtime(read_settings()).ledger
    if run_id is None:
        runs = ledger.runs(limit)
        if as_json:
            output.print_json([output.status_json(run) for run in runs])
        else:
            output.console.print(output.runs_table(runs) if runs else "no runs yet")
        return
    status = ledger.status(run_id)
    outcomes = ledger.outcomes(run_id, exclude=SUCCESSES if failures else ())
    if as_json:
        output.print_json({**output.status_json(status), "details": outcomes})
        return
    output.console.print(output.runs_table([status]))
    for row in outcomes:
        reason = f": {row['reason']}" if row["reason"] else ""
        output.console.print(f"  {row['work']} {row['subject']} {row['outcome']}{reason}")
