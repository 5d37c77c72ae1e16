"""``quantsync verify``: whether Parquet and SQL hold the same bars, and making it so."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from market.errors import UsageError
from market.periods import Period
from pipeline import output
from pipeline.cli_bits import verify_bits
from pipeline.cli_gaps import read_periods, refuse_without_gaps, verify_gaps
from pipeline.options import Json, Symbols, UpstreamName
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from storage.repair import PartitionRepair
from storage.verification import PartitionCheck


def register(root: typer.Typer) -> None:
    """Add ``verify`` to the root command."""
    root.command("verify", epilog="Example: quantsync verify --period daily --repair")(_verify)


def _verify(
    period: Annotated[
        str | None, typer.Option("--period", help="Only this period; default: all.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Make them the same: merge both ways, set a corrupt file aside and rebuild it "
            "from SQL, and let the next sync fetch what neither holds. Asks no upstream.",
        ),
    ] = False,
    gaps: Annotated[
        bool,
        typer.Option(
            "--gaps",
            help="Instead, hold every series against the calendar: what is missing, and why.",
        ),
    ] = False,
    bits: Annotated[
        bool,
        typer.Option(
            "--bits",
            help="Instead, read every file of the lake and compare its hash with the one it was "
            "written with; with --repair, rebuild those that have rotted.",
        ),
    ] = False,
    symbols: Symbols = None,
    upstream: UpstreamName = None,
    as_json: Json = False,
) -> None:
    """Compare Parquet and SQL, partition by partition: bar counts and content hashes.

    With --gaps: which sessions each series lacks, and why. Exit code 1 if a fetch may bring some.
    With --bits: whether the lake's files hold the bytes that were written.
    """
    if bits:
        if gaps or period is not None:
            raise UsageError("--bits looks at every file: it goes with --repair and --json only")
        refuse_without_gaps(symbols=symbols, upstream=upstream)
        verify_bits(repair=repair, as_json=as_json)
        return
    if gaps:
        if repair:
            raise UsageError("--repair does not go with --gaps: `quantsync repair --gaps` fetches")
        verify_gaps(period, symbols, upstream, as_json=as_json)
        return
    refuse_without_gaps(symbols=symbols, upstream=upstream)
    runtime = Runtime(read_settings())
    periods = read_periods(period)
    checks = _checks(runtime, periods)
    repairs: list[PartitionRepair] = []
    if repair:
        repairs = _repaired(runtime, checks, quiet=as_json)
        checks = _checks(runtime, periods) if repairs else checks
    wrong = [check for check in checks if not check.equal]
    if as_json:
        output.print_json(_document(checks, repairs if repair else None))
    else:
        _print_checks(checks, wrong, repaired=repair)
    if wrong:
        raise typer.Exit(1)


def _checks(runtime: Runtime, periods: Sequence[Period]) -> list[PartitionCheck]:
    from storage.minute_retention import sql_minutes_from  # noqa: PLC0415
    from storage.verification import find_lost, verify  # noqa: PLC0415

    lake, warehouse = runtime.lake, runtime.warehouse
    minutes_from = sql_minutes_from(runtime.database)
    checks = verify(lake, warehouse, periods=periods, minutes_from=minutes_from)
    return checks + find_lost(lake, warehouse, runtime.database, periods=periods)


def _repaired(
    runtime: Runtime, checks: Sequence[PartitionCheck], *, quiet: bool
) -> list[PartitionRepair]:
    from storage.repair import repair_partition  # noqa: PLC0415

    done = []
    for check in checks:
        if check.equal:
            continue
        one = repair_partition(runtime.lake, runtime.warehouse, runtime.database, check)
        done.append(one)
        if not quiet:
            _print_repair(one)
    return done


def _print_repair(repair: PartitionRepair) -> None:
    style, verb = ("red", "not settled") if repair.problem else ("green", "repaired")
    output.console.print(
        f"[{style}]{verb}[/]  {repair.dataset} {repair.period} {repair.partition}: "
        f"{output.counted(repair.into_lake, 'bar')} into Parquet, {repair.into_sql:,} into SQL"
    )
    if repair.kept:
        output.console.print(f"          the corrupt file is kept as {repair.kept}")
    if repair.sessions:
        first, last = repair.sessions[0], repair.sessions[-1]
        when = f"{first}" if first == last else f"{len(repair.sessions)} sessions {first}..{last}"
        output.console.print(
            f"          {when}, of {repair.series} series: now counted as missing, so that the "
            "next sync fetches what the upstream still serves of it"
        )


def _document(
    checks: Sequence[PartitionCheck], repairs: Sequence[PartitionRepair] | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "equal": all(check.equal for check in checks),
        "partitions": len(checks),
        "bars": sum(check.lake_rows for check in checks),
        "checks": [output.fields_json(check) for check in checks],
    }
    if repairs is not None:
        document["repairs"] = [output.fields_json(each) for each in repairs]
    return document


def _print_checks(
    checks: Sequence[PartitionCheck], wrong: Sequence[PartitionCheck], *, repaired: bool
) -> None:
    for check in wrong:
        output.console.print(
            f"[red]differs[/]  {check.dataset} {check.period} {check.partition}: {check.problem}"
        )
    if wrong and not repaired:
        output.console.print("`quantsync verify --repair` makes them the same again")
    elif not checks:
        output.console.print("nothing is held yet: there is nothing to compare")
    elif not wrong:
        bars = sum(check.lake_rows for check in checks)
        output.console.print(
            f"[green]equal[/]: {output.counted(len(checks), 'partition')}, "
            f"{output.counted(bars, 'bar')}, the same rows in Parquet and in SQL"
        )
