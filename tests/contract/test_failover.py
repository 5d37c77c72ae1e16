"""The fail-over: when another source is asked, when not, and what is asked of one that is away."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

import pytest

from ingest import wire
from ingest.pacing import Lane, Permit, UnlimitedBudget
from ingest.simulator.server import SimulatorServer
from ingest.source import (
    BannedError,
    Bars,
    DeadlinePassedError,
    EmptySuccessError,
    KlineSource,
    NotOfferedError,
    Outcome,
    SourceError,
    ThrottledError,
    UnknownSymbolError,
)
from ingest.sources.eastmoney import EastmoneySource
from ingest.sources.failover import AwayError, FailoverSource, Presence
from ingest.sources.sina import SinaSource
from ingest.sources.tencent import TencentSource
from market.adjustments import Adjustment
from market.boards import BoardKind
from market.clock import FixedClock
from market.periods import Period
from market.sessions import Window
from market.symbols import Symbol, parse_symbol
from pipeline.retrying import retried

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket

WEEK = Window(date(2025, 12, 25), date(2025, 12, 31))
MOUTAI, BEIJING = parse_symbol("600519"), parse_symbol("920002")
OFF = {"name": "drop", "host": "eastmoney"}


def as_it_is(_symbol: Symbol, _period: Period, _window: Window, bars: Bars) -> Bars:
    """Nothing is held."""
    return bars


class BanningBudget(UnlimitedBudget):
    """Says at once that the address is banned, and notes whether it was asked to wait."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []

    def acquire(
        self,
        lane: Lane,
        deadline: float,
        alive: Callable[[], None] = lambda: None,
        *,
        ban_deadline: float = math.inf,
    ) -> Permit:
        """Never grant."""
        del lane, deadline, alive
        self.waits_s.append(max(ban_deadline - time.monotonic(), 0))
        raise BannedError("eastmoney has banned the address", {"domain": "eastmoney"})


@contextmanager
def on_the_wire(
    url: str,
    eastmoney: UnlimitedBudget | None = None,
    base: str | None = None,
    *,
    read_timeout_s: float = 1,
) -> Iterator[None]:
    """A fresh wire to a server, Eastmoney's part of it elsewhere if so wanted."""
    wire.install(wire.UpstreamAdapter(connect_timeout_s=2, read_timeout_s=read_timeout_s))
    upstreams = {
        "eastmoney": wire.Upstream(eastmoney or UnlimitedBudget(), base or url),
        "sina": wire.Upstream(UnlimitedBudget(), url),
        "tencent": wire.Upstream(UnlimitedBudget(), url),
    }
    with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 120):
        yield
    wire.uninstall()


@pytest.fixture
def source(seeded_market: "SeededMarket") -> FailoverSource:
    """Sina and Tencent behind Eastmoney, a fresh memory."""
    clock = FixedClock(seeded_market.default_now)
    known: dict[str, KlineSource] = {"sina": SinaSource(clock), "tencent": TencentSource(clock)}
    others = {Period.DAILY: ("sina", "tencent"), Period.M5: ("sina",)}
    return FailoverSource(
        EastmoneySource(clock),
        others,
        known.__getitem__,
        retried=retried,
        fit=as_it_is,
        list_patience_s=60,
    )


def asked(simulator: SimulatorServer) -> Counter[str]:
    """How many requests each upstream got."""
    return Counter(entry.domain for entry in simulator.log.since(0))


def sources_of(bars: Bars) -> set[str]:
    """Who delivered."""
    return set(bars.table["source"].to_pylist())


AWAY_FAULTS: list[dict[str, object]] = [
    {"name": "drop"},
    {"name": "captcha"},
    {"name": "empty_success"},
    {"name": "http_status", "status": 429},
    {"name": "http_status", "status": 502},
    {"name": "latency", "seconds": 3},
]


@pytest.mark.parametrize("fault", AWAY_FAULTS, ids=lambda f: f"{f['name']}-{f.get('status', '')}")
def test_another_is_asked_once_the_usual_one_has_failed_beyond_its_retries(
    source: FailoverSource, simulator: SimulatorServer, fault: dict[str, object]
) -> None:
    """Throttling, server errors, silence; and one failure alone is no reason."""
    with on_the_wire(simulator.url):
        simulator.faults.add({**fault, "host": "eastmoney", "count": 1})
        assert sources_of(source.fetch_klines(MOUTAI, Period.DAILY, WEEK)) == {"eastmoney"}
        simulator.faults.add({**fault, "host": "eastmoney"})
        bars = source.fetch_klines(MOUTAI, Period.DAILY, WEEK)

    assert sources_of(bars) == {"sina"}
    assert bars.instead_of is not None
    assert bars.instead_of.startswith("from sina, for ")


def test_an_upstream_that_refuses_connections_is_failed_over(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """Nobody listens there."""
    with on_the_wire(simulator.url, base="http://127.0.0.1:9"):
        assert sources_of(source.fetch_klines(MOUTAI, Period.M5, WEEK)) == {"sina"}


def test_a_ban_is_not_waited_out_where_another_can_be_asked(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """A while for the list, for an older one will do; to the end for boards and adjusted prices."""
    budget = BanningBudget()
    with on_the_wire(simulator.url, eastmoney=budget):
        for _ in range(5):
            assert sources_of(source.fetch_klines(MOUTAI, Period.DAILY, WEEK)) == {"sina"}
        assert budget.waits_s == [0] * 5
        with pytest.raises(BannedError):
            source.fetch_klines(MOUTAI, Period.DAILY, WEEK, Adjustment.QFQ)
        with pytest.raises(BannedError):
            source.fetch_board_list(BoardKind.INDUSTRY)
        with pytest.raises(AwayError) as away:
            source.fetch_quotes()
        assert away.value.outcome is Outcome.BANNED
    assert budget.waits_s[5:7] == [math.inf, math.inf]
    assert 50 < budget.waits_s[7] <= 60


def test_facts_about_the_data_are_nobody_elses_to_answer(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """A code that does not exist, a window without bars, another's bars, a body that is cut."""
    sunday = Window(date(2025, 12, 28), date(2025, 12, 28))
    with on_the_wire(simulator.url):
        with pytest.raises(UnknownSymbolError):
            source.fetch_klines(parse_symbol("600999"), Period.DAILY, WEEK)
        assert source.fetch_klines(MOUTAI, Period.DAILY, sunday).table.num_rows == 0
        for fault in ("other_symbol", "truncated_body"):
            simulator.faults.add({"name": fault, "host": "eastmoney"})
            with pytest.raises(SourceError) as raised:
                source.fetch_klines(MOUTAI, Period.DAILY, WEEK)
            assert not isinstance(raised.value, AwayError)
            simulator.faults.clear()

    assert set(asked(simulator)) == {"eastmoney"}


def test_the_next_in_turn_is_asked_and_at_last_the_usual_ones_failure_stands(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """Sina away too: Tencent; Tencent as well: throttled, and all that was tried is told."""
    simulator.faults.add(OFF)
    with on_the_wire(simulator.url):
        simulator.faults.add({"name": "http_status", "status": 502, "host": "sina"})
        assert sources_of(source.fetch_klines(MOUTAI, Period.DAILY, WEEK)) == {"tencent"}
        simulator.faults.add({"name": "captcha", "host": "tencent"})
        with pytest.raises(AwayError, match=r"closed the connection.*HTTP 502.*captcha") as away:
            source.fetch_klines(MOUTAI, Period.DAILY, WEEK)

    assert away.value.outcome is Outcome.THROTTLED


def test_a_symbol_that_nobody_serves_keeps_the_usual_ones_failure(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """Beijing's minutes: throttled, as Eastmoney is; and nothing is made up."""
    simulator.faults.add(OFF)
    with (
        on_the_wire(simulator.url),
        pytest.raises(AwayError, match=r"sina knows no such code: 5m klines of 920002\.BJ") as away,
    ):
        source.fetch_klines(BEIJING, Period.M5, WEEK)
    assert away.value.outcome is Outcome.THROTTLED


def test_no_bars_from_another_source_prove_nothing(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """It may only be late: where Eastmoney's word would be a suspension, theirs is none."""
    simulator.faults.add(OFF)
    sunday = Window(date(2025, 12, 28), date(2025, 12, 28))
    with on_the_wire(simulator.url), pytest.raises(AwayError, match="sina has no daily bars"):
        source.fetch_klines(MOUTAI, Period.DAILY, sunday)


def test_one_that_is_away_is_not_asked_for_every_symbol(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """Eight threads and 40 symbols: a handful of requests, whatever the number of symbols."""
    simulator.faults.add(OFF)
    bars: list[Bars] = []
    # Eight at once make a busy machine slow to answer, and silence would count, too.
    with on_the_wire(simulator.url, read_timeout_s=30):

        def work() -> None:
            upstreams = {
                name: wire.Upstream(UnlimitedBudget(), simulator.url)
                for name in ("eastmoney", "sina", "tencent")
            }
            with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60):
                bars.extend(source.fetch_klines(MOUTAI, Period.M5, WEEK) for _ in range(5))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(bars) == 40
    assert asked(simulator)["eastmoney"] <= 8 + 2
    assert asked(simulator)["sina"] == 40


def test_one_symbol_that_is_always_answered_with_nothing_costs_the_others_nothing(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """By whoever is asked: none of them counts as away for the sake of one question."""
    simulator.faults.add({"name": "empty_success", "secid": "1.600519"})
    with on_the_wire(simulator.url):
        with pytest.raises(AwayError) as raised:
            source.fetch_klines(MOUTAI, Period.DAILY, WEEK)
        assert raised.value.outcome is Outcome.THROTTLED
        before = asked(simulator)
        assert set(before) == {"eastmoney", "sina", "tencent"}
        for code in ("000001", "300750"):
            bars = source.fetch_klines(parse_symbol(code), Period.DAILY, WEEK)
            assert sources_of(bars) == {"eastmoney"}
        assert asked(simulator) - before == {"eastmoney": 2}
        simulator.faults.add(OFF)
        bars = source.fetch_klines(parse_symbol("000001"), Period.DAILY, WEEK)
        assert sources_of(bars) == {"sina"}


def test_of_answers_without_data_only_different_questions_count_together() -> None:
    """Three of them, with no answer between: then the upstream is away for all."""
    presence = Presence()
    sent: list[str] = []

    def ask(about: str, error: SourceError | None) -> None:
        def call() -> None:
            sent.append(about)
            if error is not None:
                raise error

        presence.ask(call, about)

    empty = EmptySuccessError("nothing")
    for about in "aababb":
        with pytest.raises(EmptySuccessError):
            ask(about, empty)
    ask("c", None)  # an answer: what was before counts no more
    for about in "abac":
        with pytest.raises(EmptySuccessError):
            ask(about, empty)
    with pytest.raises(AwayError):
        ask("d", None)
    assert "".join(sent) == "aababbcabac"


def test_what_nobody_else_can_answer_is_asked_of_one_that_is_away_all_the_same(
    source: FailoverSource, simulator: SimulatorServer
) -> None:
    """Boards, lists, ex-rights and adjusted prices: and their success brings the bars back, too."""
    simulator.faults.add(OFF)
    with on_the_wire(simulator.url):
        for _ in range(3):
            source.fetch_klines(MOUTAI, Period.M5, WEEK)
        away = asked(simulator)["eastmoney"]
        assert sources_of(source.fetch_klines(MOUTAI, Period.M5, WEEK)) == {"sina"}
        assert asked(simulator)["eastmoney"] == away
        simulator.faults.clear()
        assert source.fetch_board_list(BoardKind.INDUSTRY).num_rows > 0
        assert sources_of(source.fetch_klines(MOUTAI, Period.M5, WEEK)) == {"eastmoney"}


def test_after_a_while_one_caller_tries_again_and_its_success_brings_all_back() -> None:
    """Half open: of all that come then, only the first asks."""
    presence = Presence(most=2, retry_after_s=0.3)
    sent: list[bool] = []

    def failing() -> None:
        sent.append(False)
        raise ThrottledError("closed")

    for _ in range(6):
        with pytest.raises(SourceError):
            presence.ask(failing, "600519.SH")
    assert len(sent) == 2
    time.sleep(0.35)
    for _ in range(4):
        with pytest.raises(SourceError):
            presence.ask(failing, "600519.SH")
    assert len(sent) == 3
    time.sleep(0.35)
    for _ in range(3):
        presence.ask(lambda: sent.append(True), "600519.SH")
    assert sent[3:] == [True, True, True]


def test_failures_of_this_side_neither_count_nor_clear() -> None:
    """A deadline says nothing of the upstream, and neither does a source that has no such data."""
    presence = Presence(most=2)
    throttled = ThrottledError("closed")
    for error in (throttled, DeadlinePassedError("late"), NotOfferedError("no"), throttled):

        def call(error: SourceError = error) -> None:
            raise error

        with pytest.raises(type(error)):
            presence.ask(call, "600519.SH")
    with pytest.raises(AwayError) as away:
        presence.ask(lambda: None, "600519.SH")
    assert away.value.outcome is Outcome.THROTTLED
