"""Ex-rights from the upstream's own prices, against a simulated market that knows the truth."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingest import wire
from ingest.pacing import Lane, UnlimitedBudget
from ingest.source import InconsistentError, NotServedError, UnknownSymbolError
from ingest.sources.eastmoney import EastmoneySource
from market.adjustments import ExRight
from market.clock import EXCHANGE_TZ, FixedClock
from market.symbols import parse_symbol

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket
    from ingest.simulator.server import SimulatorServer

MOUTAI = parse_symbol("600519")
EX = date(2025, 12, 19)
"""600519 goes ex on it."""


def source_at(simulator: "SimulatorServer", day: date, hour: int = 16) -> EastmoneySource:
    now = datetime(day.year, day.month, day.day, hour, 30, tzinfo=EXCHANGE_TZ)
    simulator.clock.set(now)
    return EastmoneySource(FixedClock(now))


@pytest.fixture(autouse=True)
def _wired(simulator: "SimulatorServer") -> Iterator[None]:
    wire.install(wire.UpstreamAdapter(connect_timeout_s=5, read_timeout_s=10))
    upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), simulator.url)}
    with wire.observed(upstreams, lane=Lane.LIVE, deadline=float("inf")):
        yield
    wire.uninstall()


def truth(market: "SeededMarket", code: str, until: date) -> dict[date, tuple[float, float, float]]:
    """Cash, bonus and reference price of each ex-right up to a day."""
    stock = market._stock(code)
    history, sessions = stock.history, stock.timeline.sessions
    return {
        sessions[e.ordinal]: (
            e.cash / 100,
            e.bonus / 10,
            int(history.reference[e.place]) / 100,
        )
        for e in history.ex_rights
        if sessions[e.ordinal] <= until
    }


def check(found: tuple[ExRight, ...], wanted: dict[date, tuple[float, float, float]]) -> None:
    assert [e.ex_session for e in found] == sorted(wanted)
    for event in found:
        cash, bonus, reference = wanted[event.ex_session]
        assert event.reference_price == pytest.approx(reference, abs=0.0101)
        assert event.bonus == pytest.approx(bonus, abs=1e-9)
        assert event.cash == pytest.approx(cash, abs=0.0051)


def test_all_ex_rights_of_many_symbols_are_found_with_their_numbers(
    simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """Cash and bonus apart, from two requests each, three where the newest is young."""
    day = date(2025, 12, 31)
    source = source_at(simulator, day)
    codes = sorted(set(seeded_market.listing(day)))[::5]
    events = 0
    for code in codes:
        found = source.fetch_ex_rights(parse_symbol(code), day)
        check(found.events, truth(seeded_market, code, day))
        events += len(found.events)
        assert found.until is not None
    assert events > 100
    requests = len(simulator.log.since(0))
    assert 2 * len(codes) <= requests < 2.3 * len(codes)


@pytest.mark.parametrize("hour", [10, 16])
def test_an_ex_right_of_today_is_found_during_the_session_and_after_it(
    simulator: "SimulatorServer", seeded_market: "SeededMarket", hour: int
) -> None:
    """The half-formed bar takes no part: its prices move between two requests."""
    wanted = truth(seeded_market, "600519", EX)
    source = source_at(simulator, EX, hour)

    found = source.fetch_ex_rights(MOUTAI, EX, wanted[EX][2])

    check(found.events, wanted)
    assert found.until == EX


def test_the_session_before_shows_no_ex_right_to_come(
    simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    before = date(2025, 12, 18)
    found = source_at(simulator, before).fetch_ex_rights(MOUTAI, before)
    check(found.events, truth(seeded_market, "600519", before))
    assert found.until == before
    assert len(truth(seeded_market, "600519", EX)) == len(found.events) + 1


def test_ex_rights_that_do_not_explain_the_list_are_not_taken(
    simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """A bar may be missing or wrong: both prices are named."""
    wanted = truth(seeded_market, "600519", EX)[EX][2]
    with pytest.raises(InconsistentError, match=f"{wanted - 1:.2f} as previous close .* {wanted}"):
        source_at(simulator, EX).fetch_ex_rights(MOUTAI, EX, wanted - 1)


def test_a_symbol_without_adjusted_prices_is_told_from_one_that_is_unknown() -> None:
    """Recordings of unadjusted bars alone: asking again would be idle."""
    from ingest.simulator.replay.market import ReplayMarket  # noqa: PLC0415  (slow to import)
    from ingest.simulator.server import SimulatorServer  # noqa: PLC0415

    recordings = Path(__file__).parents[1] / "data" / "replay"
    with SimulatorServer(ReplayMarket(recordings)) as server:
        day = date(2026, 3, 27)
        source = source_at(server, day)
        upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), server.url)}
        with wire.observed(upstreams, lane=Lane.LIVE, deadline=float("inf")):
            with pytest.raises(NotServedError, match=r"has bars of 600519\.SH and no hfq prices"):
                source.fetch_ex_rights(MOUTAI, day)
            with pytest.raises(UnknownSymbolError):
                source.fetch_ex_rights(parse_symbol("600999"), day)
