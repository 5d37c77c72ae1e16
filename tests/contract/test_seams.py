"""Where a fail-over's bars meet those held: sessions stay whole, and nothing is proven too much."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path

import pytest

from ingest.source import Bars, NotOfferedError
from ingest.validation import Verdict
from market.bars import Dataset, bar_schema
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window, exchange_calendar
from market.symbols import parse_symbol
from pipeline.proof import bars_proof
from pipeline.seams import fit_at_the_seam, last_missing
from storage.coverage import Coverage, extend_coverage
from storage.database import Database
from storage.lake import Lake
from storage.run_records import Item
from storage.warehouse import Warehouse
from tests.fixtures.bars import bars_of, daily_bar

MOUTAI = parse_symbol("600519")
NAME = str(MOUTAI)
CALENDAR = exchange_calendar()
MONDAY, TUESDAY, WEDNESDAY = date(2025, 12, 29), date(2025, 12, 30), date(2025, 12, 31)
DAYS = Window(MONDAY, WEDNESDAY)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate()
    yield database
    database.dispose()


def cover(database: Database, period: Period, *sessions: date) -> None:
    """Call sessions complete."""
    with database.writing() as connection:
        for day in sessions:
            extend_coverage(connection, "kline", period.value, NAME, (day, day), "run")


def minute(
    session: date, text: str, *, source: str, fetch: int = 0, close: float = 10.0
) -> dict[str, object]:
    """One 5m bar."""
    end = datetime.combine(session, time.fromisoformat(text), tzinfo=EXCHANGE_TZ)
    return daily_bar(NAME, session, end_at=end, source=source, fetch=fetch, close=close)


def answer(*rows: dict[str, object]) -> Bars:
    """What a fail-over said."""
    return Bars(bars_of(rows), len(rows))


def test_only_what_follows_the_last_covered_session_is_taken_and_proven(
    database: Database,
) -> None:
    """Tuesday is held whole; Monday and Wednesday are missing: Monday comes with the next run."""
    cover(database, Period.DAILY, TUESDAY)
    fit = fit_at_the_seam(database, CALENDAR, patience_s=1)
    whole = answer(*(daily_bar(NAME, day, source="sina") for day in (MONDAY, TUESDAY, WEDNESDAY)))

    fitted = fit(MOUTAI, Period.DAILY, DAYS, whole)

    assert fitted.table["session"].to_pylist() == [WEDNESDAY]
    nothing = bar_schema(Dataset.KLINE).empty_table()
    verdict = Verdict(fitted.table, nothing)
    item = Item(NAME, start=MONDAY, end=WEDNESDAY, held=True)
    proof = bars_proof(item, Period.DAILY, fitted, verdict, CALENDAR)
    assert (proof.covered_from, proof.covered_to) == (WEDNESDAY, WEDNESDAY)
    before = bars_proof(item, Period.DAILY, replace(fitted, since=None), verdict, CALENDAR)
    assert before.covered_from == MONDAY


@pytest.mark.parametrize(
    ("covered", "start"),
    [
        ((), MONDAY),
        ((Window(date(2025, 12, 1), date(2025, 12, 26)),), MONDAY),
        ((Window(MONDAY, MONDAY),), TUESDAY),
        ((Window(date(2025, 12, 1), TUESDAY),), WEDNESDAY),
        ((Window(MONDAY, MONDAY), Window(date(2026, 1, 5), date(2026, 1, 6))), TUESDAY),
    ],
)
def test_the_last_stretch_without_coverage_is_found(
    covered: tuple[Window, ...], start: date
) -> None:
    assert last_missing(Coverage(covered), DAYS, CALENDAR) == Window(start, WEDNESDAY)


def test_an_answer_without_a_bar_of_what_is_missing_is_none(database: Database) -> None:
    """Sina has not got today's bar yet: that is not taken for a day without trade."""
    cover(database, Period.DAILY, MONDAY, TUESDAY)
    fit = fit_at_the_seam(database, CALENDAR, patience_s=1)
    with pytest.raises(NotOfferedError, match="begins on 2025-12-31"):
        fit(MOUTAI, Period.DAILY, DAYS, answer(daily_bar(NAME, TUESDAY, source="sina")))


def test_a_session_held_in_part_is_replaced_as_a_whole_or_not_at_all(
    database: Database, tmp_path: Path
) -> None:
    """All values of the session are then the answer's; a bar that only the other had refuses it."""
    held = [
        minute(WEDNESDAY, "09:35", source="eastmoney", close=10.0),
        minute(WEDNESDAY, "09:40", source="eastmoney", close=10.2),
    ]
    lake, warehouse = Lake(tmp_path / "lake"), Warehouse(database)
    for store in (lake.write, warehouse.write_bars):
        store(Dataset.KLINE, Period.M5, bars_of(held))
    fit = fit_at_the_seam(database, CALENDAR, patience_s=1)
    fresh = [
        minute(WEDNESDAY, text, source="sina", fetch=1, close=10.4)
        for text in ("09:35", "09:40", "09:45")
    ]

    with pytest.raises(NotOfferedError, match=r"lacks 1 of the 5m bars .* from eastmoney"):
        fit(MOUTAI, Period.M5, DAYS, answer(fresh[0], fresh[2]))
    fitted = fit(MOUTAI, Period.M5, DAYS, answer(*fresh))
    for store in (lake.write, warehouse.write_bars):
        store(Dataset.KLINE, Period.M5, fitted.table)

    for stored in (
        lake.read(Dataset.KLINE, Period.M5),
        warehouse.read_bars(Dataset.KLINE, Period.M5),
    ):
        assert [(r["close"], r["source"]) for r in stored.to_pylist()] == [(10.4, "sina")] * 3


def test_the_usual_source_revises_a_final_bar_only_where_it_differs(
    database: Database,
) -> None:
    """Tencent's amount is rounded: Eastmoney's takes its place, and the old one is kept."""
    warehouse = Warehouse(database)
    same = daily_bar(NAME, TUESDAY, source="tencent")
    rounded = daily_bar(NAME, WEDNESDAY, source="tencent", amount=999_900.0)
    warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars_of([same, rounded]))
    eastmoney = [daily_bar(NAME, day, source="eastmoney", fetch=1) for day in (TUESDAY, WEDNESDAY)]

    count = warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars_of(eastmoney))

    assert (count.inserted, count.updated, count.revised) == (0, 1, 1)
    rows = warehouse.read_bars(Dataset.KLINE, Period.DAILY).to_pylist()
    assert [(row["source"], row["amount"]) for row in rows] == [
        ("tencent", 1_000_000.0),
        ("eastmoney", 1_000_000.0),
    ]
