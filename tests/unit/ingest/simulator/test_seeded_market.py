"""The seeded market as a whole: the same everywhere, and changing over time as a real one does."""

import subprocess
import sys
from datetime import date, datetime

import pytest

from ingest.simulator.market import SecId
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.seeded.timeline import Timeline
from ingest.simulator.seeded.universe import Universe
from market.boards import BoardKind
from market.clock import EXCHANGE_TZ
from market.errors import CalendarRangeError, UsageError
from market.symbols import SymbolKind, parse_symbol

TODAY = date(2025, 12, 31)
FIRST = ("600519", "000001", "300750", "688981", "920002")

DIGEST = """
import hashlib
from ingest.simulator.eastmoney import Spoiling, kline, trends
from ingest.simulator.clist import clist
from ingest.simulator.seeded.market import SeededMarket
import json
market = SeededMarket(seed=5, symbols=60)
now = market.default_now
codes = sorted(market.listing(now.date()), reverse={reverse})
digest = {{}}
for code in codes:
    secid = f"{{int(code.startswith('6'))}}.{{code}}"
    for klt in ("5", "101"):
        body = kline(market, {{"secid": secid, "klt": klt, "fqt": "1"}}, now, Spoiling())
        digest[f"{{secid}}/{{klt}}"] = body
    digest[secid] = trends(market, {{"secid": secid, "ndays": "5"}}, now, Spoiling())
for fs in ("m:90 t:2 f:!50", "m:90 t:3 f:!50", "b:BK0596 f:!50"):
    asked = {{"fs": fs, "fields": "f2,f3,f12,f14,f20,f104,f128"}}
    digest[fs] = clist(market, asked, now, Spoiling())
print(hashlib.sha256(json.dumps(digest, sort_keys=True).encode()).hexdigest())
"""


@pytest.mark.lengthy
def test_two_processes_serve_the_same_bytes_in_any_order() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST.format(reverse=reverse)],
            check=True, capture_output=True, text=True,
        ).stdout
        for reverse in (False, True)
    }  # fmt: skip
    assert len(digests) == 1


def test_another_seed_is_another_market(seeded_market: SeededMarket) -> None:
    other = SeededMarket(seed=12, symbols=230)
    assert other.listing(TODAY) != seeded_market.listing(TODAY)
    assert not other.daily("600519").equals(seeded_market.daily("600519"))


def test_a_smaller_market_is_the_beginning_of_a_larger_one(seeded_market: SeededMarket) -> None:
    small = SeededMarket(seed=11, symbols=40)
    assert set(small.listing(TODAY)) < set(seeded_market.listing(TODAY))
    for code in small.listing(TODAY):
        assert small.daily(code).equals(seeded_market.daily(code))


def test_history_does_not_depend_on_where_it_starts(seeded_market: SeededMarket) -> None:
    late = SeededMarket(seed=11, symbols=5, start=date(2024, 6, 3)).daily("600519")
    early = seeded_market.daily("600519")
    assert late["session"][0].as_py() == date(2024, 6, 3)
    tail = early.slice(len(early) - len(late))
    assert tail.slice(1).equals(late.slice(1))


def test_every_code_is_an_a_share_and_every_name_is_its_own() -> None:
    timeline = Timeline(date(2015, 1, 5))
    universe = Universe(3, 5_500, timeline)
    assert universe.codes[:5] == FIRST
    assert len(set(universe.codes)) == 5_500
    symbols = [parse_symbol(code) for code in universe.codes]
    assert {symbol.kind for symbol in symbols} == {SymbolKind.STOCK}
    exchanges = {e: sum(1 for s in symbols if s.exchange == e) for e in ("SH", "SZ", "BJ")}
    assert exchanges["SZ"] > exchanges["SH"] > exchanges["BJ"] > 200
    listed = [stock for stock in universe.stocks if stock.is_listed(TODAY)]
    assert 5_100 < len(listed) < 5_500
    plain = [stock.name for stock in universe.stocks if not stock.is_st]
    assert len(set(plain)) == len(plain)


def test_listings_and_delistings_change_the_list(seeded_market: SeededMarket) -> None:
    before, after = seeded_market.listing(date(2025, 6, 30)), seeded_market.listing(TODAY)
    assert set(after) - set(before)
    assert set(before) - set(after)
    assert "301581" not in seeded_market.listing(date(2025, 12, 30))
    assert "688805" in seeded_market.listing(date(2026, 1, 12))


def test_old_bj_codes_make_way_for_new_ones(seeded_market: SeededMarket) -> None:
    before, after = (seeded_market.listing(date(2025, 10, day)) for day in (8, 9))
    assert "836077" in before
    assert "920077" not in before
    assert "920077" in after
    assert not any(code.startswith(("4", "8")) for code in after)


def test_each_symbol_has_one_industry_and_members_come_and_go(seeded_market: SeededMarket) -> None:
    industries = seeded_market.boards(BoardKind.INDUSTRY, seeded_market.default_now).columns[12]
    members = [code for board in industries for code in seeded_market.members(str(board), TODAY)]
    assert sorted(members) == list(seeded_market.listing(TODAY))
    assert "600519" in seeded_market.members("BK0477", TODAY)
    early = set(seeded_market.members("BK0596", date(2018, 1, 3)))
    late = set(seeded_market.members("BK0596", TODAY))
    listed = set(seeded_market.listing(date(2018, 1, 3))) & set(seeded_market.listing(TODAY))
    assert (late - early) & listed
    assert (early - late) & listed
    assert len(late) > 100


def test_a_new_concept_appears_on_its_day(seeded_market: SeededMarket) -> None:
    def concepts(day: int) -> set[object]:
        now = datetime(2025, 12, day, 16, tzinfo=EXCHANGE_TZ)
        return set(seeded_market.boards(BoardKind.CONCEPT, now).columns[12])

    new = concepts(30) - concepts(29)
    assert len(new) == 1
    before = datetime(2025, 12, 29, 16, tzinfo=EXCHANGE_TZ)
    assert seeded_market.kline(SecId(90, str(new.pop())), 101, 0, before) is None


def test_boards_grow_with_the_market() -> None:
    sizes = {n: SeededMarket(seed=1, symbols=n).describe() for n in (50, 5_500)}
    assert (sizes[50]["concepts"], sizes[50]["industries"]) == (44, 21)
    assert (sizes[5_500]["concepts"], sizes[5_500]["industries"]) == (460, 86)


def test_quotes_are_reset_before_the_auction(seeded_market: SeededMarket) -> None:
    def price(hour: int, minute: int) -> object:
        now = datetime(2025, 12, 31, hour, minute, tzinfo=EXCHANGE_TZ)
        table = seeded_market.quotes(now)
        return table.columns[2][list(table.columns[12]).index("600519")]

    yesterday = seeded_market.daily("600519")["close"][-2].as_py()
    today = seeded_market.daily("600519")["open"][-1].as_py()
    assert price(8, 0) == yesterday
    assert price(9, 16) == "-"
    assert price(9, 26) == today


@pytest.mark.parametrize("year", [2014, 2040])
def test_an_instant_outside_the_calendar_is_refused(seeded_market: SeededMarket, year: int) -> None:
    with pytest.raises(CalendarRangeError):
        seeded_market.check(datetime(year, 6, 2, 16, tzinfo=EXCHANGE_TZ))


@pytest.mark.parametrize("size", [0, 6_001])
def test_an_impossible_number_of_symbols_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="6,000"):
        SeededMarket(symbols=size)
