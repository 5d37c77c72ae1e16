"""``quantsync sync`` and ``quantsync backfill``: ask for data and watch it arrive.

What takes long to import is imported once the processes of the embedded stack are starting.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from market.errors import UsageError
from pipeline.options import (
    From,
    Json,
    PeriodName,
    Symbols,
    To,
    UpstreamName,
    read_day,
    split_names,
)
from pipeline.request import CONCEPTS, INDUSTRIES, STOCKS, Request
from pipeline.run_requests import read_request
from pipeline.settings import read_settings
from pipeline.stack import Stack, running_stack

app = typer.Typer(no_args_is_help=True)

Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait",
        help="Follow the run to its end. --no-wait only enqueues (with a configured broker).",
    ),
]

PlanOnly = Annotated[
    bool,
    typer.Option(
        "--plan", help="Only say what it would cost: requests, time, what expires. Nothing is sent."
    ),
]


@app.command(
    "stocks", epilog="Example: quantsync sync stocks --symbols 600519,000001 --from 2024-01-02"
)
def sync_stocks(
    symbols: Symbols = None,
    period: PeriodName = "daily",
    start: From = None,
    end: To = None,
    upstream: UpstreamName = None,
    as_json: Json = False,
    wait: Wait = True,
    plan: PlanOnly = False,
) -> None:
    """Stock klines: every listed A share, or the symbols named."""
    request = _request(STOCKS, symbols, period, start, end, upstream, "live")
    _run([request], as_json=as_json, wait=wait, plan=plan)


@app.command("concepts", epilog="Example: quantsync sync concepts --upstream simulator")
def sync_concepts(
    symbols: Symbols = None,
    start: From = None,
    end: To = None,
    upstream: UpstreamName = None,
    as_json: Json = False,
    wait: Wait = True,
    plan: PlanOnly = False,
) -> None:
    """Concept boards: list, members and daily klines."""
    request = _request(CONCEPTS, symbols, "daily", start, end, upstream, "live")
    _run([request], as_json=as_json, wait=wait, plan=plan)


@app.command("industries", epilog="Example: quantsync sync industries --symbols BK0477")
def sync_industries(
    symbols: Symbols = None,
    start: From = None,
    end: To = None,
    upstream: UpstreamName = None,
    as_json: Json = False,
    wait: Wait = True,
    plan: PlanOnly = False,
) -> None:
    """Industry boards: list, members and daily klines."""
    request = _request(INDUSTRIES, symbols, "daily", start, end, upstream, "live")
    _run([request], as_json=as_json, wait=wait, plan=plan)


@app.command("all", epilog="Example: quantsync sync all --upstream simulator --from 2024-01-02")
def sync_all(
    start: From = None,
    end: To = None,
    upstream: UpstreamName = None,
    as_json: Json = False,
    wait: Wait = True,
    plan: PlanOnly = False,
) -> None:
    """Stocks (daily), concepts and industries, each on its own queue."""
    requests = [
        _request(kind, None, "daily", start, end, upstream, "live")
        for kind in (STOCKS, CONCEPTS, INDUSTRIES)
    ]
    _run(requests, as_json=as_json, wait=wait, plan=plan)


def register(root: typer.Typer) -> None:
    """Add ``sync`` and ``backfill`` to the root command."""
    root.add_typer(app, name="sync", help="Fetch what is missing, now.")
    root.command(
        "backfill",
        epilog="Example: quantsync backfill --symbols 600519 --from 2015-01-05 --to 2020-12-31",
    )(_backfill)


def _backfill(
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First day.")],
    end: To = None,
    symbols: Symbols = None,
    period: PeriodName = "daily",
    what: Annotated[str, typer.Option("--what", help="stocks, concepts or industries.")] = STOCKS,
    upstream: UpstreamName = None,
    as_json: Json = False,
    wait: Wait = True,
    plan: PlanOnly = False,
) -> None:
    """Fetch what a past window lacks, behind the live lane."""
    if what not in (STOCKS, CONCEPTS, INDUSTRIES):
        raise UsageError(f"--what {what!r}: use stocks, concepts or industries")
    request = _request(what, symbols, period, start, end, upstream, "bulk")
    _run([request], as_json=as_json, wait=wait, plan=plan)


def _request(
    kind: str,
    symbols: str | None,
    period: str,
    start: str | None,
    end: str | None,
    upstream: str | None,
    lane: str,
) -> Request:
    """A request whose words are known to be readable; nothing is started before that."""
    return read_request(
        kind=kind,
        period=period,
        names=split_names(symbols),
        start=read_day(start, "--from"),
        end=read_day(end, "--to"),
        upstream=upstream or read_settings().quantsync_upstream,
        lane=lane,
    )


def _run(requests: Sequence[Request], *, as_json: bool, wait: bool, plan: bool) -> None:
    settings = read_settings()
    if plan:
        from pipeline.cli_estimate import show_estimates  # noqa: PLC0415

        show_estimates(settings, requests, as_json=as_json)
        return
    if not wait and settings.is_embedded:
        raise UsageError(
            "--no-wait needs a broker that outlives the command: set CELERY_BROKER_URL"
        )
    with running_stack(settings, requests[0].upstream) as stack:
        from pipeline import output  # noqa: PLC0415
        from pipeline.following import follow, report  # noqa: PLC0415
        from storage.run_records import RunState  # noqa: PLC0415

        for run_id in stack.resumed:
            output.messages.print(f"run {run_id}, left unfinished, goes on")
        follow(stack, _same_work(stack, requests), quiet=as_json)
        run_ids = _start(stack, requests)
        if not wait:
            _announce(run_ids, as_json=as_json)
            return
        ended = follow(stack, run_ids, quiet=as_json)
        documents = [report(stack.runtime, status, settings, as_json=as_json) for status in ended]
    if as_json:
        output.print_json(documents[0] if len(documents) == 1 else {"runs": documents})
    if any(status.state is not RunState.COMMITTED for status in ended):
        raise typer.Exit(1)


def _same_work(stack: Stack, requests: Sequence[Request]) -> list[str]:
    """Resumed runs that fetch what is asked for now: to their end first, or it came twice."""
    asked = {(r.kind, r.period.value, r.lane) for r in requests}
    resumed = [stack.runtime.ledger.status(run_id) for run_id in stack.resumed]
    return [run.run_id for run in resumed if (run.kind, run.period, run.lane) in asked]


def _start(stack: Stack, requests: Sequence[Request]) -> list[str]:
    from dataclasses import replace  # noqa: PLC0415

    from pipeline.runs import start_run  # noqa: PLC0415

    run_ids = []
    for request in requests:
        run_id = start_run(stack.runtime, replace(request, upstream=stack.upstream), stack.publish)
        assert run_id is not None, "a run on demand has no slot to collide with"
        run_ids.append(run_id)
    return run_ids


def _announce(run_ids: Sequence[str], *, as_json: bool) -> None:
    from pipeline import output  # noqa: PLC0415

    if as_json:
        output.print_json({"run_ids": list(run_ids)})
        return
    for run_id in run_ids:
        output.console.print(f"enqueued run {run_id}: follow it with `quantsync runs {run_id}`")
