"""Adjustment on recorded real data: equal to Eastmoney's own series, true to the exchange's prices.

Sources of the ex-rights, in this order: Eastmoney's dividend list of 000001 (exact cash); reference
prices of baostock, 2010 to 2024 (another vendor; cash to half a cent, shares by the nominal ratio);
for what neither has (2025, and four symbols) the lines between the recorded raw and
forward-adjusted prices. ``--log-cli-level=INFO`` shows what was measured.
"""

import logging
from collections import Counter
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from ingest.ex_right_pair import PricePair, ex_rights_of
from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.symbols import parse_symbol
from storage.adjusting import adjust
from tests.fixtures.bars import bars_of, daily_bar
from tests.fixtures.market_data import MarketData

RAW = "daily_em/em_daily_none.csv"
QFQ = "daily_em/em_daily_qfq_asof20251213to31.csv"
VINTAGE = date(2025, 12, 13)
"""Ex-rights after it are not in the recorded forward-adjusted file."""
PRICES = ("open", "high", "low", "close")
FROZEN = "dirty/frozen_partial_bars_2025.csv"
"""Symbol and day of bars that the forward-adjusted file took during the session: its only dirt."""

log = logging.getLogger(__name__)

Bars = dict[date, tuple[float, float, float, float]]


class Recorded:
    """The recorded files, read once."""

    def __init__(self, data: MarketData) -> None:
        self.raw, self.qfq = data.prices(RAW), data.prices(QFQ)
        self.dirt = {
            (row["股票代码"].zfill(6), date.fromisoformat(row["日期"])) for row in data.rows(FROZEN)
        }
        self.references = {
            (row["code"][3:], date.fromisoformat(row["ex_date"])): (
                float(row["prev_close"]),
                float(row["ref_preclose"]),
            )
            for row in data.rows("events/baostock_ex_right_events_2010_2024.csv")
        }
        self.listed = {
            date.fromisoformat(row["除权除息日"]): float(row["现金分红-现金分红比例"] or 0) / 10
            for row in data.rows("docs_samples/prober_stock_fhps_detail_em.csv")
            if row["除权除息日"]
        }
        self.from_lines = {code: self._from_lines(code) for code in self.raw}

    def _from_lines(self, code: str) -> list[ExRight]:
        """Ex-rights as the product finds them, from the clean days of the recorded pair."""
        days = [day for day in self.raw[code] if (code, day) not in self.dirt]
        pair = PricePair(
            days,
            np.array([self.raw[code][day] for day in days]),
            np.array([self.qfq[code][day] for day in days]),
        )
        return ex_rights_of(str(parse_symbol(code)), pair, Adjustment.QFQ)

    def covered(self) -> dict[tuple[str, date], tuple[float, float]]:
        """Baostock's ex-rights that the recorded bars cover: previous close, reference price."""
        return {
            (code, day): prices
            for (code, day), prices in self.references.items()
            if code in self.raw and day in self.raw[code] and day > min(self.raw[code])
        }

    def independent(self, code: str, sources: Counter[str]) -> list[ExRight]:
        """Ex-rights of a symbol with the numbers of the best source."""
        return [self._from_best_source(code, event, sources) for event in self.from_lines[code]]

    def _from_best_source(self, code: str, event: ExRight, sources: Counter[str]) -> ExRight:
        day, known = event.ex_session, self.references.get((code, event.ex_session))
        if code == "000001" and day in self.listed:
            sources["dividend list"] += 1
            cash = self.listed[day]
            return ExRight(event.symbol, day, event.previous_close, cash=cash)
        if known is not None:
            sources["baostock"] += 1
            share = round(event.share, 1)
            cash = round(known[0] - share * known[1], 4)
            return ExRight(event.symbol, day, known[0], cash=cash, bonus=share - 1)
        sources["lines of the pair"] += 1
        return event


@pytest.fixture(scope="module")
def recorded(market_data: MarketData) -> Recorded:
    """The recorded files."""
    return Recorded(market_data)


def table_of(code: str, bars: Bars) -> pa.Table:
    name = str(parse_symbol(code))
    return bars_of(
        [
            daily_bar(name, day, **dict(zip(PRICES, prices, strict=True)))  # type: ignore[arg-type]
            for day, prices in bars.items()
        ]
    )


def test_eastmoney_qfq_from_raw_bars_and_events_equals_the_recorded_qfq(
    recorded: Recorded,
) -> None:
    """Within 0.011 on at least 99.5 % of the rows that are not listed as dirt, negatives too."""
    rows = good = negative = 0
    sources: Counter[str] = Counter()
    for code, bars in recorded.raw.items():
        clean = {day: p for day, p in bars.items() if (code, day) not in recorded.dirt}
        events = recorded.independent(code, sources)
        assert all(event.ex_session <= VINTAGE for event in events)
        got = adjust(table_of(code, clean), events, Adjustment.QFQ, AdjustMethod.EASTMONEY)
        ours = np.column_stack([got[name].to_numpy() for name in PRICES])
        theirs = np.array([recorded.qfq[code][day] for day in clean])
        rows += len(clean)
        near = np.abs(ours - theirs).max(axis=1) < 0.011
        good += int(near.sum())
        below = theirs.min(axis=1) < 0
        negative += int(below.sum())
        assert near[below].all(), code
    log.info(
        "eastmoney: %s of %s rows (%.4f %%) within 0.011, %s of them negative; events: %s",
        *(good, rows, 100 * good / rows, negative, dict(sources)),
    )
    assert rows > 38_000
    assert sources["baostock"] + sources["dividend list"] > 100
    assert negative > 0
    assert good / rows >= 0.995


def test_an_older_vintage_of_the_same_history_is_what_fewer_events_give(
    recorded: Recorded, market_data: MarketData
) -> None:
    """Forward-adjusted as of 2024-06-14, fetched by others in another way: events of the time."""
    older = market_data.prices("daily_em/em_daily_qfq_asof20240614_3sym.csv")
    good = rows = 0
    for code in older.keys() & recorded.raw.keys():
        as_of = max(older[code])
        events = [e for e in recorded.independent(code, Counter()) if e.ex_session <= as_of]
        bars = {day: prices for day, prices in recorded.raw[code].items() if day in older[code]}
        got = adjust(table_of(code, bars), events, Adjustment.QFQ, AdjustMethod.EASTMONEY)
        ours = np.column_stack([got[name].to_numpy() for name in PRICES])
        theirs = np.array([older[code][day] for day in bars])
        rows += len(bars)
        good += int((np.abs(ours - theirs).max(axis=1) < 0.011).sum())
    log.info("older vintage: %s of %s rows within 0.011", good, rows)
    assert rows > 2_600
    assert good / rows >= 0.995


def test_ratio_returns_on_ex_dates_are_close_by_reference_price(recorded: Recorded) -> None:
    """On every ex-date of baostock's file that the bars cover; the events are not from that file.

    The product's own events, from the pair: their cash is known to a cent at worst, so is the
    reference price.
    """
    exact = 0
    covered = recorded.covered()
    for (code, day), (before, reference) in covered.items():
        events = recorded.from_lines[code]
        bars = recorded.raw[code]
        days = list(bars)
        previous = days[days.index(day) - 1]
        assert bars[previous][3] == before
        for adjustment in (Adjustment.QFQ, Adjustment.HFQ):
            got = adjust(table_of(code, bars), events, adjustment, AdjustMethod.RATIO)
            close = dict(zip(days, got["close"].to_pylist(), strict=True))
            gained = close[day] / close[previous]
            wanted = bars[day][3] / reference
            assert gained == pytest.approx(wanted, abs=0.0101 / reference * wanted), (code, day)
        exact += gained == pytest.approx(wanted, rel=1e-9)
    log.info("ratio: %s ex-dates within a cent, %s of them exactly", len(covered), exact)
    assert len(covered) > 100
    assert exact / len(covered) > 0.85


def test_ratio_keeps_every_other_return_of_the_recorded_bars(recorded: Recorded) -> None:
    for code, bars in recorded.raw.items():
        events = recorded.from_lines[code]
        ex = {event.ex_session for event in events}
        raw = np.array([p[3] for p in bars.values()])
        got = adjust(table_of(code, bars), events, Adjustment.QFQ, AdjustMethod.RATIO)
        ours = got["close"].to_numpy()
        plain = [i for i, day in enumerate(bars) if i and day not in ex]
        np.testing.assert_allclose(
            ours[plain] / ours[[i - 1 for i in plain]],
            raw[plain] / raw[[i - 1 for i in plain]],
            rtol=1e-12,
        )


def test_events_found_in_the_pair_are_those_that_another_vendor_knows(recorded: Recorded) -> None:
    """None is missing, and every reference price is the exchange's to a cent."""
    found = {(e.symbol[:6], e.ex_session): e for own in recorded.from_lines.values() for e in own}
    covered = recorded.covered()
    assert covered.keys() - found.keys() == set()
    for key, (before, reference) in covered.items():
        assert found[key].previous_close == before
        assert found[key].reference_price == pytest.approx(reference, abs=0.0101)
    known = {code for code, _ in covered}
    extra = {key for key in found.keys() - covered.keys() if key[0] in known}
    # What baostock's file lacks lies at its end; the dividend list confirms one of them.
    assert all(day >= date(2024, 9, 13) for _, day in extra)


def test_the_formula_gives_another_vendors_reference_prices_from_a_third_vendors_numbers(
    recorded: Recorded, market_data: MarketData
) -> None:
    """Gifts, transfers, rights and cash of a terminal's file; references of baostock, 2010-2011."""
    compared = 0
    for row in market_data.rows("events/tdx_weight_events_1990_2011_fixture_syms.csv"):
        key = (row["stock_code"], date.fromisoformat(row["date"]))
        given = {
            "cash": float(row["cash_per10"]) / 10,
            "bonus": (float(row["gift_per10"]) + float(row["transfer_per10"])) / 10,
            "rights": float(row["rights_per10"]) / 10,
            "rights_price": float(row["rights_price"]),
        }
        if key in recorded.references and any(given.values()):
            before, reference = recorded.references[key]
            event = ExRight(str(parse_symbol(key[0])), key[1], before, **given)
            assert event.reference_price == pytest.approx(reference, abs=0.0101), (key, given)
            compared += 1
    log.info("formula: %s reference prices", compared)
    assert compared >= 15
