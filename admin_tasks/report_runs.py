"""The runs of a session as a report states them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from admin_tasks.report_facts import Failure, RunFacts, RunLine
from market.clock import EXCHANGE_TZ
from market.sessions import TradingCalendar
from storage.database import Database
from storage.gap_facts import GAPS_PARAM
from storage.run_records import SUCCESSES, RunState, RunStatus
from storage.session_runs import Ending, endings_of, repeats_of, runs_of_session

_LINES = 30
_NAMES = 6
_NOTICES = 12


def read_runs(
    database: Database, session: date, calendar: TradingCalendar
) -> tuple[RunFacts, list[str]]:
    """What the ledger says of the runs of a session, and their ids.

    Raises:
        StorageError: The ledger cannot be read.
    """
    runs = runs_of_session(database, session, calendar)
    ids = [run.run_id for run in runs]
    standing, recovered = _by_last_word(endings_of(database, ids))
    repairs = [run for run in runs if run.params.get(GAPS_PARAM)]
    notices = Counter(notice for run in runs for notice in dict.fromkeys(run.notices))
    requests: Counter[str] = Counter()
    for run in runs:
        requests[run.upstream] += run.requests
    facts = RunFacts(
        states=dict(Counter(run.state.value for run in runs)),
        lines=tuple(_line(run) for run in _worst_first(runs)[:_LINES]),
        failed=_failed(runs),
        failures=_grouped(standing),
        recovered=_grouped(recovered),
        repeats=repeats_of(database, ids),
        repairs=len(repairs),
        repaired_bars=sum(run.bars_written for run in repairs),
        notices=tuple(notices.most_common(_NOTICES)),
        requests=dict(requests),
        bars=sum(run.bars_written for run in runs),
    )
    return facts, ids


def _worst_first(runs: Sequence[RunStatus]) -> list[RunStatus]:
    order = (RunState.FAILED, RunState.PARTIAL, RunState.RUNNING, RunState.COMMITTED)
    return sorted(runs, key=lambda run: (order.index(run.state), -run.created_at))


def _failed(runs: Sequence[RunStatus]) -> tuple[tuple[str, str, int], ...]:
    alike = Counter(
        (run.kind, run.reason or "no reason is recorded")
        for run in runs
        if run.state is RunState.FAILED
    )
    return tuple((kind, reason, count) for (kind, reason), count in alike.most_common())


def _line(run: RunStatus) -> RunLine:
    return RunLine(
        run_id=run.run_id,
        kind=run.kind,
        period=run.period,
        state=run.state.value,
        lane=run.lane,
        slot=run.slot,
        upstream=run.upstream,
        began_at=datetime.fromtimestamp(run.created_at, EXCHANGE_TZ),
        elapsed_s=run.elapsed_s,
        done=run.done,
        items=run.items,
        bars=run.bars_written,
        requests=run.requests,
        reason=run.reason,
        repairs=bool(run.params.get(GAPS_PARAM)),
    )


def _by_last_word(endings: Iterable[Ending]) -> tuple[list[Ending], list[Ending]]:
    """Failed fetches: those that stand, and those that a later run made good."""
    failed: dict[tuple[str | None, str, str], Ending] = {}
    recovered = []
    for each in endings:
        key = (each.period, each.work, each.subject)
        before = failed.pop(key, None)
        if each.outcome not in SUCCESSES:
            failed[key] = each
        elif before is not None:
            recovered.append(before)
    return list(failed.values()), recovered


def _grouped(endings: Iterable[Ending]) -> tuple[Failure, ...]:
    groups: dict[tuple[str, str | None, str], list[Ending]] = defaultdict(list)
    for each in endings:
        groups[each.work, each.period, each.outcome].append(each)
    found = []
    for (work, period, outcome), mine in groups.items():
        reasons = Counter(each.reason or "no reason is recorded" for each in mine)
        names = sorted({each.subject for each in mine})
        reason = reasons.most_common(1)[0][0]
        found.append(Failure(work, period, outcome, reason, len(names), tuple(names[:_NAMES])))
    return tuple(sorted(found, key=lambda each: -each.subjects))
