"""Reports: the facts of a session, gathered from this installation's stores, and handed on."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from admin_tasks.report import MadeReport, write_report
from admin_tasks.report_facts import Budgets, Doubts, ReportFacts, RunFacts
from admin_tasks.report_freshness import Gaps, judge_gaps
from admin_tasks.report_market import read_market
from admin_tasks.report_runs import read_runs
from market.clock import SystemClock
from market.errors import UsageError
from pipeline.gap_runs import examine_gaps
from pipeline.pacing_reading import read_pacing
from pipeline.runtime import Runtime
from storage.doubt_counts import Replaced, kept_out_bars, replaced_bars, waiting_lists
from storage.installation import read_fact


def make_report(runtime: Runtime, user_id: str, session: date | None = None) -> MadeReport:
    """Gather, draw and write the report of a session. Doing it again replaces it.

    Args:
        runtime: The stores.
        user_id: Who asks; the report names them.
        session: Which session; None: the latest that has settled.

    Raises:
        UsageError: The day is no session, or one that has not settled.
        ConfigurationError: REPORT_FONT is not what it should be.
        StorageError: A store cannot be read, or the report not be written.
    """
    facts = gather(runtime, session)
    font = runtime.settings.report_font
    return write_report(facts, reports_folder(runtime), user_id=user_id, font=font)


def reports_folder(runtime: Runtime) -> Path:
    """Where reports lie, in one folder for each session."""
    return runtime.settings.reports_path


def gather(runtime: Runtime, session: date | None = None) -> ReportFacts:
    """Read everything that a report of a session states. A Redis that is away is one of the facts.

    Raises:
        UsageError: The day is no session, or one that has not settled.
        StorageError: A store cannot be read.
    """
    calendar, database = runtime.calendar, runtime.database
    found = examine_gaps(runtime, runtime.settings.quantsync_upstream)
    day = found.as_of if session is None else check_reportable(runtime, session, found.as_of)
    gaps = judge_gaps(found.series, day, calendar, found.reach_from)
    boards = runtime.catalog.boards(active_only=False)
    symbols = runtime.catalog.symbols(listed_only=False)
    names = {row.symbol: row.name for row in symbols if row.name}
    names |= {row.code: row.name for row in boards if row.name}
    replaced = tuple(replaced_bars(database, day))
    pacing = read_pacing(runtime.settings)
    runs, run_ids = read_runs(database, day, calendar)
    return ReportFacts(
        session=day,
        made_at=SystemClock().now(),
        simulated=read_fact(database, "prices") == "simulated",
        home=str(runtime.settings.home),
        freshness=gaps.freshness,
        late=gaps.late,
        gone=gaps.gone,
        expiring=gaps.expiring,
        runs=runs,
        budgets=Budgets(pacing.reports, pacing.unreachable),
        doubts=Doubts(
            tuple(kept_out_bars(database, run_ids)),
            tuple(waiting_lists(database)),
            replaced,
        ),
        market=read_market(runtime.lake, day, calendar, names, boards),
        names=_mentioned(names, gaps, runs, replaced),
        holds_later=day < found.as_of and any(each.held for each in found.series),
    )


def _mentioned(
    names: Mapping[str, str], gaps: Gaps, runs: RunFacts, replaced: Sequence[Replaced]
) -> dict[str, str]:
    """The names of those that a report names by their codes."""
    missing = [each.names for each in (*gaps.late, *gaps.gone)]
    failed = [each.names for each in (*runs.failures, *runs.recovered)]
    gave_way = [each.names for each in replaced]
    codes = dict.fromkeys(code for mine in (*missing, *failed, *gave_way) for code in mine)
    return {code: names[code] for code in codes if code in names}


def check_reportable(runtime: Runtime, day: date, latest: date) -> date:
    """A day that can be reported.

    Args:
        runtime: The stores.
        day: The day.
        latest: The latest session that has settled.

    Raises:
        UsageError: The day is no session, or one that has not settled.
    """
    if day > latest:
        raise UsageError(
            f"{day} cannot be reported yet: the latest settled session is {latest}",
            {"session": day, "latest": latest},
        )
    if not runtime.calendar.is_session(day):
        before = runtime.calendar.session_on_or_before(day)
        raise UsageError(
            f"{day} is no session of the exchange: the one before it is {before}",
            {"session": day, "before": before},
        )
    return day
