"""What a sync would cost, by what is held: told before a request is made."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from market.boards import BoardKind
from market.periods import Period
from market.sessions import Window
from pipeline.ex_rights import count_unknown
from pipeline.plans import plan_run, wanted_waves
from pipeline.request import CONCEPTS, STOCKS, Request
from pipeline.runtime import Runtime
from pipeline.sweeping import lacking_before
from pipeline.upstreams import LIVE
from scheduling.planner import REACH_SESSIONS
from scheduling.steady_need import (
    SYMBOLS,
    pages_of,
    permits_within,
    seconds_for,
    steady_need,
)
from storage.coverage import read_coverage
from storage.run_records import RunPlan, Work

_BOARDS_ASSUMED = {BoardKind.CONCEPT: 460, BoardKind.INDUSTRY: 86}
_TOLD_EXPIRIES = 3


@dataclass(frozen=True, slots=True)
class Expiry:
    """A session that the upstream will not serve much longer.

    Attributes:
        session: Which.
        closes_left: Sessions until it is out of reach.
        symbols: How many lack it.
    """

    session: date
    closes_left: int
    symbols: int


@dataclass(slots=True)
class Estimate:
    """The cost of one run.

    Attributes:
        requests: By what they fetch; an upper bound where only the list can tell.
        seconds: At the permitted rate, if nothing else is sent.
        live_free: Requests in five minutes that remain for the live lane meanwhile.
        expiring: What is lost first.
        notices: What the numbers rest on.
    """

    kind: str
    period: str
    window: Window
    upstream: str
    lane: str
    requests: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    permitted: str = ""
    live_free: int = 0
    expiring: list[Expiry] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())


def estimate(runtime: Runtime, request: Request) -> Estimate:
    """Plan a run without recording it, and count.

    Raises:
        UsageError: The request cannot be meant.
    """
    plan = plan_run(runtime, request)
    windows = runtime.settings.windows_for(request.upstream)
    window = Window(
        date.fromisoformat(str(plan.params["from"])), date.fromisoformat(str(plan.params["to"]))
    )
    period = plan.period or Period.DAILY
    found = Estimate(
        request.kind,
        period.value,
        window,
        "eastmoney" if request.upstream == LIVE else request.upstream,
        request.lane,
        notices=list(plan.notices),
    )
    _count(runtime, request, plan, window, found)
    found.requests = {name: count for name, count in found.requests.items() if count}
    found.permitted = ", ".join(str(each) for each in windows)
    found.seconds = seconds_for(found.total, windows)
    need = steady_need(_listed(runtime), len(runtime.settings.watched), windows)
    found.live_free = max(permits_within(windows, 300) - need.requests, 0)
    if request.kind == STOCKS and period in REACH_SESSIONS:
        found.expiring = _expiring(runtime, request, period)
    return found


def _listed(runtime: Runtime) -> int:
    return len(runtime.catalog.symbols())


def _count(
    runtime: Runtime, request: Request, plan: RunPlan, window: Window, found: Estimate
) -> None:
    waves = list(plan.waves)
    if request.symbols is None:
        listed = _listed(runtime)
        if request.kind == STOCKS:
            assumed = SYMBOLS if request.upstream == LIVE else runtime.settings.simulator_symbols
            found.requests["symbol list"] = pages_of(listed or assumed)
            if not listed:
                found.requests["klines"] = assumed
                found.notices.append(f"no list is held yet: {assumed:,} symbols are assumed")
        else:
            _count_boards(runtime, request, found)
        session = runtime.calendar.latest_started(runtime.clock(request.upstream).now())
        more, _, _ = wanted_waves(runtime, request, window, session)
        waves = more
    items = [(batch.work, item) for wave in waves for batch in wave.batches for item in batch.items]
    works = Counter(work for work, _ in items)
    klines = works[Work.KLINE] + works[Work.BOARD_KLINE]
    if request.kind == STOCKS and request.symbols is None and request.period is Period.DAILY:
        swept = _swept(
            runtime, window, [item.subject for work, item in items if work is Work.KLINE]
        )
        klines -= swept
        if swept:
            found.notices.append(
                f"after the close the bars of up to {swept:,} symbols come with the symbol list"
            )
    found.requests["klines"] = max(found.requests.get("klines", 0), klines)
    found.requests["members"] = max(found.requests.get("members", 0), works[Work.BOARD_MEMBERS])
    if runtime.settings.sync_events:
        asked = works[Work.EX_RIGHT]
        if request.symbols is None and request.kind == STOCKS and request.period is Period.DAILY:
            asked = count_unknown(runtime, session) if listed else found.requests["klines"]
        found.requests["ex-rights"] = 2 * asked
        if asked:
            found.notices.append(
                f"the ex-rights of {asked:,} symbols are not known, or cannot be told by the list "
                "after a missed session: 2 requests each, 3 where the newest ex-right is young"
            )


def _count_boards(runtime: Runtime, request: Request, found: Estimate) -> None:
    kind = BoardKind.CONCEPT if request.kind == CONCEPTS else BoardKind.INDUSTRY
    held = len(runtime.catalog.boards(kind))
    found.requests["board list"] = pages_of(held or _BOARDS_ASSUMED[kind])
    if not held:
        assumed = _BOARDS_ASSUMED[kind]
        found.notices.append(f"no list is held yet: {assumed} {kind.value} boards are assumed")
        found.requests["klines"] = found.requests["members"] = assumed


def _swept(runtime: Runtime, window: Window, names: Sequence[str]) -> int:
    """Symbols that lack only the latest session, which a sweep brings."""
    latest = runtime.calendar.session_on_or_before(window.end)
    before = runtime.calendar.offset(latest, -1)
    held = read_coverage(runtime.database, "kline", Period.DAILY.value)
    lacking = lacking_before(held, window, latest, runtime.calendar)
    next_ones = {name for name, has in held.items() if has.ranges[-1].end == before}
    return len(next_ones.difference(lacking).intersection(names))


def _expiring(runtime: Runtime, request: Request, period: Period) -> list[Expiry]:
    """The oldest sessions within reach that symbols lack."""
    calendar = runtime.calendar
    latest = calendar.latest_started(runtime.clock(request.upstream).now())
    names = request.symbols or [row.symbol for row in runtime.catalog.symbols()]
    held = read_coverage(runtime.database, "kline", period.value)
    found = []
    for age in range(REACH_SESSIONS[period] - 1, -1, -1):
        day = calendar.offset(latest, -age)
        lacking = sum(
            1
            for name in names
            if not any(r.start <= day <= r.end for r in (held[name].ranges if name in held else ()))
        )
        if lacking:
            left = REACH_SESSIONS[period] - age
            found.append(Expiry(day, left, lacking))
        if len(found) == _TOLD_EXPIRIES:
            break
    return found
