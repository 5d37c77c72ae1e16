"""``quantsync verify --gaps`` and ``repair --gaps``: what is missing and why, and getting it."""

from typing import Any

import typer

from market.errors import UsageError
from market.periods import FETCHED_PERIODS, Period, parse_fetched_period
from pipeline import output
from pipeline.following import follow, report
from pipeline.gap_runs import GapReport, RepairPlan, examine_gaps, plan_repair
from pipeline.options import split_names
from pipeline.runtime import Runtime
from pipeline.settings import read_settings
from pipeline.stack import running_stack
from storage.gaps import REPAIRABLE, Reason, SeriesGaps, Stretch
from storage.run_records import RunState

_SHOWN = 40


def verify_gaps(
    period: str | None, symbols: str | None, upstream: str | None, *, as_json: bool
) -> None:
    """Show what is missing and why; exit code 1 if a fetch may bring some of it.

    Raises:
        UsageError: A period or a name that cannot be meant.
        StorageError: A store cannot be read.
    """
    settings = read_settings()
    found = examine_gaps(
        Runtime(settings),
        upstream or settings.quantsync_upstream,
        _period(period),
        split_names(symbols),
    )
    if as_json:
        output.print_json(_document(found))
    else:
        _print(found)
    if found.repairable:
        raise typer.Exit(1)


def repair_gaps(
    period: str | None,
    symbols: str | None,
    upstream: str | None,
    *,
    plan_only: bool,
    as_json: bool,
) -> None:
    """Fetch the missing windows, or show what would be fetched.

    Raises:
        UsageError: A period or a name that cannot be meant, or prices that must not be mixed.
        QuantsyncError: A store, the broker or the upstream is not to be had.
    """
    settings = read_settings()
    wanted = upstream or settings.quantsync_upstream
    length, names = _period(period), split_names(symbols)
    if plan_only:
        runtime = Runtime(settings)
        found = examine_gaps(runtime, wanted, length, names)
        _show_plan(found, plan_repair(runtime, found, wanted), as_json=as_json)
        return
    with running_stack(settings, wanted) as stack:
        found = examine_gaps(stack.runtime, stack.upstream, length, names)
        plan = plan_repair(stack.runtime, found, stack.upstream)
        if not as_json:
            output.messages.print(_summary(plan))
        from pipeline.runs import begin_run  # noqa: PLC0415

        for run in plan.runs:
            begin_run(stack.runtime, run, stack.publish)
        ended = follow(stack, [run.run_id for run in plan.runs], quiet=as_json)
        documents = [report(stack.runtime, run, settings, as_json=as_json) for run in ended]
        left = examine_gaps(stack.runtime, stack.upstream, length, names)
    if as_json:
        output.print_json(
            {**_plan_document(found, plan), "runs": documents, "left": _document(left)}
        )
    elif not plan.runs:
        output.console.print("no gap can be repaired: there is nothing to fetch")
    elif left.repairable:
        output.console.print(
            f"{output.counted(left.repairable, 'session')} are still missing: "
            "`quantsync verify --gaps` says why"
        )
    if left.repairable or any(run.state is not RunState.COMMITTED for run in ended):
        raise typer.Exit(1)


def refuse_without_gaps(**options: object) -> None:
    """Refuse options that mean something only with ``--gaps``.

    Raises:
        UsageError: One of them is given.
    """
    for name, value in options.items():
        if value:
            raise UsageError(f"--{name} needs --gaps")


def read_periods(text: str | None) -> tuple[Period, ...]:
    """One fetched period, or all if none is named.

    Raises:
        InvalidPeriodError: It is no period that is fetched.
    """
    return FETCHED_PERIODS if text is None else (parse_fetched_period(text),)


def _period(text: str | None) -> Period | None:
    return None if text is None else parse_fetched_period(text)


def _document(found: GapReport) -> dict[str, Any]:
    return {
        "complete": not found.repairable,
        "as_of": found.as_of,
        "repairable_sessions": found.repairable,
        "missing": _totals(found),
        "series": [_series(each) for each in found.series],
    }


def _series(each: SeriesGaps) -> dict[str, Any]:
    return {
        "dataset": each.dataset.value,
        "period": each.period.value,
        "subject": each.name,
        "from": each.window.start,
        "to": each.window.end,
        "expected": each.expected,
        "held": each.held,
        "counts": each.counts(),
        "missing": [
            {
                "from": stretch.window.start,
                "to": stretch.window.end,
                "sessions": stretch.sessions,
                "reason": stretch.reason.value,
                "says": stretch.says,
                "repairable": stretch.repairable,
            }
            for stretch in each.missing
        ],
    }


def _totals(found: GapReport) -> dict[str, int]:
    totals: dict[str, int] = {}
    for each in found.series:
        for name, count in each.counts().items():
            totals[name] = totals.get(name, 0) + count
    return totals


def _print(found: GapReport) -> None:
    if not found.series:
        output.console.print("nothing was asked for yet: `quantsync sync all` begins")
        return
    for dataset, period in dict.fromkeys((each.dataset, each.period) for each in found.series):
        mine = [each for each in found.series if (each.dataset, each.period) == (dataset, period)]
        expected = sum(each.expected for each in mine)
        held = sum(each.held for each in mine)
        output.console.print(
            f"{dataset.value} {period.value}: {len(mine)} series up to {found.as_of}, "
            f"{held:,} of {output.counted(expected, 'session')} held"
        )
        for reason in Reason:
            count = sum(each.counts().get(reason.value, 0) for each in mine)
            if count:
                style = "yellow" if reason in REPAIRABLE else "green"
                output.console.print(f"  [{style}]{reason.value:<14}[/] {count:,}")
    owed = [(each, gap) for each in found.series for gap in each.missing if gap.repairable]
    for each, gap in owed[:_SHOWN]:
        output.console.print(output.plain(f"  {each.name} {each.period.value} {_gap(gap)}"))
    if len(owed) > _SHOWN:
        output.console.print(f"  and {len(owed) - _SHOWN} more: --json has all, --symbols some")
    if owed:
        output.console.print("`quantsync repair --gaps` fetches them (--plan says what it costs)")
    else:
        output.console.print("[green]complete[/]: nothing is missing that could be fetched")


def _gap(gap: Stretch) -> str:
    days = f"{gap.window.start}" if gap.sessions == 1 else f"{gap.window}"
    return f"{days} ({output.counted(gap.sessions, 'session')}), {gap.reason.value}: {gap.says}"


def _show_plan(found: GapReport, plan: RepairPlan, *, as_json: bool) -> None:
    if as_json:
        output.print_json(_plan_document(found, plan))
        return
    for (_, period), fetches in plan.fetches.items():
        for fetch in fetches:
            output.console.print(
                f"{fetch.name} {period.value} {fetch.window}: "
                f"{output.counted(fetch.missing, 'session')} missing, {fetch.again} fetched again"
            )
    output.console.print(_summary(plan))


def _summary(plan: RepairPlan) -> str:
    missing = sum(fetch.missing for mine in plan.fetches.values() for fetch in mine)
    return (
        f"{output.counted(missing, 'session')} in {output.counted(plan.requests, 'request')}: "
        f"about {_duration(plan.seconds)} at the permitted rate"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _plan_document(found: GapReport, plan: RepairPlan) -> dict[str, Any]:
    fetches = [
        {
            "dataset": dataset.value,
            "period": period.value,
            "subject": fetch.name,
            "from": fetch.window.start,
            "to": fetch.window.end,
            "missing": fetch.missing,
            "again": fetch.again,
        }
        for (dataset, period), mine in plan.fetches.items()
        for fetch in mine
    ]
    return {
        "as_of": found.as_of,
        "sessions": found.repairable,
        "requests": plan.requests,
        "seconds": round(plan.seconds, 1),
        "run_ids": [run.run_id for run in plan.runs],
        "fetches": fetches,
    }
