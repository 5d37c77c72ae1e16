"""``quantsync doctor`` and ``quantsync repair``: what is wrong, and making it right."""

from dataclasses import asdict
from typing import Annotated

import typer

from market.errors import UsageError
from pipeline import output
from pipeline.cli_contracts import check_contracts
from pipeline.cli_gaps import refuse_without_gaps, repair_gaps
from pipeline.following import follow, report
from pipeline.options import Json, Symbols, UpstreamName
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from pipeline.stack import running_stack
from storage.run_records import RunState, RunStatus


def register(root: typer.Typer) -> None:
    """Add the commands to the root command."""
    root.command("doctor", epilog="Example: quantsync doctor --json")(_doctor)
    root.command("repair", epilog="Example: quantsync repair 20251231T080000-1a2b3c4d --abandon")(
        _repair
    )


def _doctor(
    contracts: Annotated[
        bool,
        typer.Option(
            "--contracts",
            help="Compare the AKShare installed with the contract recorded: signatures, requests, "
            "columns, units, labels. Offline, in seconds, touches no data.",
        ),
    ] = False,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="With --contracts, in a working copy: record the contract anew."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at everything a sync needs and at every run under way; each finding with its remedy.

    Exit code 1 if something is wrong, or differs from the contract.
    """
    if write and not contracts:
        raise UsageError("--write records the contract: give it with --contracts")
    if contracts:
        check_contracts(write=write, as_json=as_json)
        return
    from pipeline.diagnosis import examine  # noqa: PLC0415
    from pipeline.findings import ERROR, OK  # noqa: PLC0415

    findings = examine(Runtime(read_settings()))
    broken = any(finding.level == ERROR for finding in findings)
    if as_json:
        rows = [asdict(finding) for finding in findings]
        output.print_json({"ok": not broken, "findings": rows})
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            style = {OK: "green", ERROR: "red"}.get(finding.level, "yellow")
            output.console.print(
                f"[{style}]{finding.level:<8}[/] {finding.what:<{width}}  "
                f"{output.plain(finding.says)}"
            )
            if finding.remedy:
                output.console.print(f"{'':<9}{'':<{width}}  → {output.plain(finding.remedy)}")
    if broken:
        raise typer.Exit(1)


def _repair(
    run_id: Annotated[
        str | None, typer.Argument(help="One run; default: all that have not ended.")
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish/--abandon", help="Finish it now, or give it up.")
    ] = True,
    gaps: Annotated[
        bool,
        typer.Option(
            "--gaps", help="Instead, fetch what `quantsync verify --gaps` says is missing."
        ),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="With --gaps: say what would be fetched; send nothing.")
    ] = False,
    period: Annotated[
        str | None, typer.Option("--period", help="With --gaps: only this one; default: all.")
    ] = None,
    symbols: Symbols = None,
    upstream: UpstreamName = None,
    as_json: Json = False,
) -> None:
    """Finish runs that are stuck, or abandon one. With --gaps: fetch only what is missing.

    Finishing gives back the leases of the dead, hands out what no message stands for, commits what
    is fetched, and follows the runs to their end. Abandoning ends a run at once: what it has
    committed stays, the rest is dropped, and the next sync fetches it.
    """
    from pipeline.asking import check_running  # noqa: PLC0415
    from pipeline.reconcile import mend  # noqa: PLC0415

    if gaps:
        if run_id is not None or not finish:
            raise UsageError("--gaps takes no run: it plans runs of its own")
        repair_gaps(period, symbols, upstream, plan_only=plan, as_json=as_json)
        return
    refuse_without_gaps(plan=plan, period=period, symbols=symbols, upstream=upstream)
    settings = read_settings()
    runtime = Runtime(settings)
    if run_id is None:
        if not finish:
            raise UsageError("--abandon needs a run: `quantsync runs` lists them")
        runs = [runtime.ledger.status(name) for name in runtime.recovery.running()]
    else:
        runs = [runtime.ledger.status(run_id)]
        check_running(runs[0])
    for sentence in mend(runtime):
        output.messages.print(output.plain(sentence))
    ended = _finish(runs, as_json=as_json) if finish else [_abandon(runtime, runs[0])]
    documents = [report(runtime, status, settings, as_json=as_json) for status in ended]
    if as_json:
        output.print_json({"runs": documents})
    elif not ended:
        output.console.print("no run is under way: there is nothing to repair")
    if finish and any(status.state is not RunState.COMMITTED for status in ended):
        raise typer.Exit(1)


def _abandon(runtime: Runtime, run: RunStatus) -> RunStatus:
    from pipeline.asking import abandon  # noqa: PLC0415

    ended, said = abandon(runtime, run.run_id)
    for sentence in said:
        output.messages.print(output.plain(sentence))
    return ended


def _finish(runs: list[RunStatus], *, as_json: bool) -> list[RunStatus]:
    ended: list[RunStatus] = []
    for upstream in dict.fromkeys(run.upstream for run in runs):
        mine = [run.run_id for run in runs if run.upstream == upstream]
        with running_stack(read_settings(), upstream) as stack:
            from pipeline import publishing  # noqa: PLC0415
            from pipeline.reconcile import reconcile  # noqa: PLC0415

            for sentence in reconcile(stack.runtime, publishing, idle_s=0.0):
                output.messages.print(output.plain(sentence))
            ended += follow(stack, mine, quiet=as_json)
    return ended
