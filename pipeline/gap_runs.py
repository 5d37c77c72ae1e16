"""The gaps of everything that is held, and the runs that repair them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ingest.rates import sustained_rate
from market.bars import Dataset
from market.boards import BoardKind, parse_board_code
from market.clock import SystemClock
from market.errors import CalendarRangeError, ConfigurationError, UsageError
from market.periods import FETCHED_PERIODS, Period
from market.sessions import Window
from market.symbols import parse_stock
from pipeline.plans import queue_of, stock_subjects
from pipeline.prices import check_prices
from pipeline.request import CONCEPTS, INDUSTRIES, STOCKS
from pipeline.runtime import Runtime
from pipeline.upstreams import LIVE
from scheduling.gap_plan import Fetch, into_rounds, plan_fetches, plan_round
from scheduling.planner import REACH_SESSIONS, BatchSizing, Subject
from storage.gap_facts import GAPS_PARAM, first_expected, read_asked, read_facts
from storage.gaps import SeriesFacts, SeriesGaps, find_gaps
from storage.installation import read_fact
from storage.run_records import RunPlan, Work, new_run_id
from storage.tables import KLINE_TABLES


@dataclass(frozen=True, slots=True)
class GapReport:
    """All series against the calendar.

    Attributes:
        as_of: The latest session that is expected.
        series: One each, by dataset, period and name.
        reach_from: The earliest session that the upstream still serves, of periods with a limit.
    """

    as_of: date
    series: tuple[SeriesGaps, ...]
    reach_from: Mapping[Period, date]

    @property
    def repairable(self) -> int:
        """How many sessions a fetch may bring."""
        return sum(each.repairable for each in self.series)


def examine_gaps(
    runtime: Runtime,
    upstream: str,
    period: Period | None = None,
    names: Sequence[str] | None = None,
) -> GapReport:
    """Judge every session expected of every series up to the latest settled one.

    Args:
        runtime: The stores.
        upstream: Whose clock says which session is settled.
        period: Which one; None: all that were ever asked for.
        names: Symbols and boards in any spelling; None: all that were ever asked for.

    Raises:
        UsageError: A name that is no symbol and no board.
        StorageError: A store cannot be read.
    """
    wanted = _wanted(runtime, names)
    as_of = latest_settled(runtime, upstream)
    reach = {
        period: runtime.calendar.offset(as_of, 1 - sessions)
        for period, sessions in REACH_SESSIONS.items()
    }
    series: list[SeriesGaps] = []
    for dataset in Dataset:
        for each in FETCHED_PERIODS if period is None else (period,):
            if (dataset, each) not in KLINE_TABLES:
                continue
            mine = None if wanted is None else wanted[dataset]
            if mine is None or mine:
                facts = _facts(runtime, dataset, each, as_of, mine, only_asked=period is None)
                series += _judged(dataset, each, facts, reach.get(each))
    return GapReport(as_of, tuple(series), reach)


def _facts(
    runtime: Runtime,
    dataset: Dataset,
    period: Period,
    as_of: date,
    names: Sequence[str] | None,
    *,
    only_asked: bool,
) -> tuple[Sequence[date], list[SeriesFacts]]:
    """The sessions that may be expected, and what is known of each series in them."""
    first = first_expected(runtime.lake, runtime.database, dataset, period)
    if first is None and (names is None or only_asked):
        return (), []
    first = min(first or runtime.settings.history_daily_from, as_of)
    sessions = runtime.calendar.sessions_in(Window(first, as_of))
    return sessions, read_facts(
        runtime.lake,
        runtime.database,
        dataset,
        period,
        sessions,
        names=names,
        only_asked=only_asked,
    )


def _judged(
    dataset: Dataset,
    period: Period,
    facts: tuple[Sequence[date], Sequence[SeriesFacts]],
    reach_from: date | None,
) -> Iterator[SeriesGaps]:
    sessions, series = facts
    for each in series:
        found = find_gaps(dataset, period, sessions, each, reach_from=reach_from)
        if found is not None:
            yield found


def _wanted(runtime: Runtime, names: Sequence[str] | None) -> dict[Dataset, list[str]] | None:
    if names is None:
        return None
    boards = [parse_board_code(n) for n in names if n.strip().upper().startswith("BK")]
    stocks = [n for n in names if not n.strip().upper().startswith("BK")]
    symbols = [str(parse_stock(name)) for name in stocks]
    return {
        Dataset.KLINE: [subject.name for subject in stock_subjects(runtime, symbols)],
        Dataset.BOARD_KLINE: list(dict.fromkeys(boards)),
    }


def latest_settled(runtime: Runtime, upstream: str) -> date:
    """The latest session that is over, by the clock of the market that is held.

    A simulated market whose simulator is not up has come as far as the newest run asked.
    """
    calendar = runtime.calendar
    simulated = read_fact(runtime.database, "prices") == "simulated"
    if upstream == LIVE and not simulated:
        return calendar.latest_settled(SystemClock().now(), runtime.settings.settled_at)
    try:
        if upstream != LIVE:
            return calendar.latest_settled(
                runtime.clock(upstream).now(), runtime.settings.settled_at
            )
    except ConfigurationError:
        if not simulated:
            raise
    asked = [
        read_asked(runtime.database, dataset, period).until
        for dataset in Dataset
        for period in Period
    ]
    latest = max((day for day in asked if day is not None), default=None)
    return (
        calendar.latest_settled(SystemClock().now(), runtime.settings.settled_at)
        if latest is None
        else latest
    )


def settled_if_told(runtime: Runtime) -> date | None:
    """The latest settled session by the configured upstream's clock; None: that does not answer."""
    try:
        return latest_settled(runtime, runtime.settings.quantsync_upstream)
    except (ConfigurationError, CalendarRangeError):
        return None


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What a repair sends.

    Attributes:
        fetches: The requests, by dataset and period.
        runs: The runs that send them, in rounds.
        requests: How many requests that is.
        seconds: How long they take at the permitted rate.
    """

    fetches: Mapping[tuple[Dataset, Period], tuple[Fetch, ...]]
    runs: tuple[RunPlan, ...]
    requests: int
    seconds: float


def plan_repair(runtime: Runtime, report: GapReport, upstream: str) -> RepairPlan:
    """The runs that fetch the missing windows of a report, in the bulk lane. Sends nothing.

    Raises:
        UsageError: The home holds prices that the upstream's must not be mixed with.
    """
    check_prices(runtime, upstream)
    windows = runtime.settings.windows_for(upstream)
    chosen: dict[tuple[Dataset, Period], tuple[Fetch, ...]] = {}
    runs: list[RunPlan] = []
    for dataset, period in dict.fromkeys((each.dataset, each.period) for each in report.series):
        fetches = {
            each.name: plan_fetches(each, reach_from=report.reach_from.get(period))
            for each in report.series
            if (each.dataset, each.period) == (dataset, period) and each.repairable
        }
        chosen[dataset, period] = tuple(f for mine in fetches.values() for f in mine)
        for kind, mine in _by_kind(runtime, dataset, fetches).items():
            runs += [_run(runtime, upstream, kind, period, each) for each in into_rounds(mine)]
    requests = sum(map(len, chosen.values()))
    return RepairPlan(chosen, tuple(runs), requests, requests / sustained_rate(windows))


def _by_kind(
    runtime: Runtime, dataset: Dataset, fetches: Mapping[str, list[Fetch]]
) -> dict[str, dict[str, list[Fetch]]]:
    """Fetches by the kind of run that sends them."""
    if dataset is Dataset.KLINE:
        return {STOCKS: dict(fetches)}
    kinds = {row.code: row.kind for row in runtime.catalog.boards(active_only=False)}
    found: dict[str, dict[str, list[Fetch]]] = {}
    for name, mine in fetches.items():
        if kinds.get(name) is None:
            raise UsageError(
                f"board {name} stands in no list, so it is not known whether it is a concept or an "
                "industry: `quantsync sync concepts` and `sync industries` fetch the lists",
                {"board": name},
            )
        kind = CONCEPTS if kinds[name] == BoardKind.CONCEPT.value else INDUSTRIES
        found.setdefault(kind, {})[name] = mine
    return found


def _run(
    runtime: Runtime, upstream: str, kind: str, period: Period, fetches: Sequence[Fetch]
) -> RunPlan:
    names = [fetch.name for fetch in fetches]
    settings = runtime.settings
    board_kind = {CONCEPTS: BoardKind.CONCEPT, INDUSTRIES: BoardKind.INDUSTRY}.get(kind)
    subjects = (
        {each.name: each for each in stock_subjects(runtime, names)}
        if kind == STOCKS
        else {name: Subject(name) for name in names}
    )
    waves = plan_round(
        fetches,
        subjects,
        work=Work.KLINE if kind == STOCKS else Work.BOARD_KLINE,
        period=period,
        queue=queue_of(kind),
        sizing=BatchSizing.for_rate(
            sustained_rate(settings.windows_for(upstream)),
            batch_seconds=settings.batch_seconds,
            threads=settings.quant_concurrency,
            wave_items=settings.wave_items,
        ),
        board_kind=board_kind,
    )
    return RunPlan(
        run_id=new_run_id(),
        kind=kind,
        period=period,
        upstream=upstream,
        lane="bulk",
        params={
            "symbols": names,
            "from": min(fetch.window.start for fetch in fetches).isoformat(),
            "to": max(fetch.window.end for fetch in fetches).isoformat(),
            "complete": 0,
            GAPS_PARAM: True,
        },
        waves=tuple(waves),
        deadline_s=settings.run_deadline_s,
    )
