"""Codes that the exchange renumbered, on both databases and on the real lists around the change.

``TEST_MARKET_DATA`` names the folder with the whole lists.
"""

import csv
import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from market.bars import Dataset
from market.boards import BOARD_MEMBERS_SCHEMA, SYMBOL_LIST_SCHEMA
from market.errors import UsageError
from market.periods import Period
from market.sessions import Window, exchange_calendar
from market.symbols import SymbolKind, parse_symbol
from storage.aliases import read_aliases
from storage.catalog import Catalog, ListChange
from storage.coverage import extend_coverage, read_coverage
from storage.database import Database
from storage.digest import bars_digest
from storage.identity import decide, read_identity, read_proposals
from storage.lake import Lake, Partition
from storage.no_trade import Proof, add_no_trade, read_no_trade
from storage.verification import verify
from storage.warehouse import Warehouse
from tests.fixtures.bars import bars_of, daily_bar

FOLDER = Path(__file__).parents[1] / "data" / "market"
SEPTEMBER, OCTOBER, NEXT = date(2025, 9, 30), date(2025, 10, 9), date(2025, 10, 10)
OLD, NEW = "836077.BJ", "920077.BJ"
OTHERS = {f"{600_000 + n}.SH": f"公司{n}" for n in range(20)}


@pytest.fixture
def catalog(database: Database) -> Catalog:
    """An empty catalog on each database."""
    return Catalog(database)


def take(catalog: Catalog, names: dict[str, str], session: date) -> ListChange:
    """A whole list of these symbols."""
    columns = {"symbol": list(names), "name": list(names.values())}
    prices = dict.fromkeys(("close", "previous_close"), [1.0] * len(names))
    listing = pa.table(
        {**columns, **prices, "suspended": [False] * len(names)}, schema=SYMBOL_LIST_SCHEMA
    )
    change = catalog.replace_symbols(listing, session, f"run {session}")
    assert change.accepted, change.reason
    return change


def real_lists() -> tuple[dict[str, str], dict[str, str]]:
    """Code and name of some listings in February and in December 2025."""
    with (FOLDER / "bse_renumbering.csv").open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    before, after = (
        {str(parse_symbol(r["code"])): r[f"name_{when}"] for r in rows if r[f"name_{when}"]}
        for when in ("before", "after")
    )
    return before, after


def whole_lists() -> tuple[dict[str, str], dict[str, str]]:
    folder = os.environ.get("TEST_MARKET_DATA")
    if folder is None:
        pytest.skip("TEST_MARKET_DATA names no folder of recorded market data")
    lists = []
    for day in ("20250228", "20251225"):
        with (Path(folder) / f"lists/spot_em_{day}.csv").open(encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
        lists.append(
            {
                str(symbol): row["名称"]
                for row in rows
                if (symbol := parse_symbol(row["代码"])).kind is SymbolKind.STOCK
            }
        )
    return lists[0], lists[1]


def test_the_real_renumbering_is_accepted_where_name_and_rule_agree_and_else_told(
    catalog: Catalog, database: Database
) -> None:
    """Same digits; other digits because those were taken; a new name is for a person to decide."""
    before, after = real_lists()
    before |= OTHERS
    take(catalog, before, SEPTEMBER)

    change = take(catalog, after | OTHERS, OCTOBER)

    accepted = {
        "831010": "920010", "832149": "920249", "833171": "920571", "835892": "920992",
        "836077": "920077", "836961": "920061", "873706": "920706",
    }  # fmt: skip
    assert read_aliases(database) == {f"{a}.BJ": f"{b}.BJ" for a, b in accepted.items()}
    proposed = {p.old_code: (p.new_code, p.reason) for p in read_proposals(database)}
    assert {old: new for old, (new, _) in proposed.items()} == {
        "838810.BJ": "920810.BJ", "839680.BJ": "920680.BJ", "835305.BJ": "920305.BJ",
    }  # fmt: skip
    assert proposed["838810.BJ"][1] == "838810.BJ was called 春光药装, 920810.BJ is 春光智能"
    assert len(change.notices) == 10
    assert (change.removed, change.added) == (3, len(after) - len(before) + 20 + 3)
    # A listing that moved to another exchange keeps both codes on the list: never one symbol.
    assert {"833994.BJ", "301321.SZ"} <= {row.symbol for row in catalog.symbols()}


def test_all_243_real_pairs_are_found_and_no_other(database: Database) -> None:
    """Of 246 codes with equal names two moved to another exchange, and one is another company.

    Five companies changed name and code at once: they are told, and not joined.
    """
    if not database.is_sqlite:
        pytest.skip("the whole lists are judged once, on SQLite")
    before, after = whole_lists()
    catalog = Catalog(database)
    take(catalog, before, SEPTEMBER)
    take(catalog, after, OCTOBER)

    folder = Path(os.environ["TEST_MARKET_DATA"])
    with (folder / "lists/bse_code_migration_by_name.csv").open(encoding="utf-8-sig") as text:
        pairs = {f"{r['代码_old']}.BJ": r["代码_new"] for r in csv.DictReader(text)}
    expected = {old: f"{new}.BJ" for old, new in pairs.items() if new.startswith("920")}
    assert len(expected) == 243
    assert read_aliases(database) == expected
    assert {(each.old_code[:6], each.new_code[:6]) for each in read_proposals(database)} == {
        ("838810", "920810"), ("830879", "920879"), ("839680", "920680"), ("835305", "920305"),
        ("831834", "920834"), ("831834", "603033"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gone", "appeared", "why"),
    [
        ({OLD: "吉林碳谷"}, {"920078.BJ": "吉林碳谷"}, "it would be 920077.BJ, which is free"),
        ({OLD: "吉林碳谷"}, {"300999.SZ": "吉林碳谷"}, "a move to another exchange"),
        ({"000022.SZ": "深赤湾Ａ"}, {"001872.SZ": "深赤湾A"}, "no rule of an exchange"),
        (
            {OLD: "*ST碳谷", "836078.BJ": "碳谷"},
            {NEW: "ST碳 谷"},
            "碳谷 is the name of more than one of them",
        ),
        ({OLD: "吉林碳谷"}, {NEW: "吉林新材"}, "836077.BJ was called 吉林碳谷, 920077.BJ is"),
    ],
)
def test_what_is_not_proven_is_told_once_and_waits_for_a_person(
    catalog: Catalog,
    database: Database,
    gone: dict[str, str],
    appeared: dict[str, str],
    why: str,
) -> None:
    """Nothing is joined; the notice says why, and which command decides."""
    take(catalog, OTHERS | gone, SEPTEMBER)
    first = take(catalog, OTHERS | appeared, OCTOBER)
    again = take(catalog, OTHERS | appeared, OCTOBER)

    assert read_aliases(database) == {}
    assert why in " ".join(first.notices)
    assert "--became" in first.notices[0]
    assert again.notices == ()

    old, new = next(iter(gone)), next(iter(appeared))
    decide(database, old, new, OCTOBER)
    assert read_aliases(database) == {old: new}
    with pytest.raises(UsageError, match=f"no symbol bears the code {old} now"):
        decide(database, old, new, OCTOBER)


def test_two_symbols_are_not_made_one_by_a_slip_of_the_hand(
    catalog: Catalog, database: Database
) -> None:
    """Both are on the latest list, or their bars differ: nothing of either is touched."""
    day = exchange_calendar().sessions_in(Window(SEPTEMBER, OCTOBER))[0]
    take(catalog, OTHERS, SEPTEMBER)
    rows = [daily_bar(OLD, day, close=10.0), daily_bar("000002.SZ", day, close=20.0)]
    bars = bars_of(sorted(rows, key=lambda row: str(row["symbol"])))
    Warehouse(database).write_bars(Dataset.KLINE, Period.DAILY, bars)

    with pytest.raises(UsageError, match="the latest list names both, so they are two symbols"):
        decide(database, "600000.SH", "600001.SH", OCTOBER)
    with pytest.raises(UsageError, match="different prices in 1 of the 1 sessions of both"):
        decide(database, OLD, "000002.SZ", OCTOBER)

    assert read_aliases(database) == {}
    assert Warehouse(database).read_bars(Dataset.KLINE, Period.DAILY).num_rows == len(rows)


@pytest.mark.parametrize("first", ["old goes", "new comes"])
def test_codes_that_change_in_neighbouring_sessions_are_matched(
    catalog: Catalog, database: Database, first: str
) -> None:
    """The old code may leave the list a session before the new one joins it, or after."""
    old, new = {OLD: "吉林碳谷"}, {NEW: "N吉林碳谷"}
    between = OTHERS if first == "old goes" else OTHERS | old | new
    take(catalog, OTHERS | old, SEPTEMBER)
    take(catalog, between, OCTOBER)

    take(catalog, OTHERS | new, NEXT)

    assert read_aliases(database) == {OLD: NEW}
    known = read_identity(database, OLD)
    assert known is not None
    assert known == read_identity(database, NEW)
    assert (known.symbol, known.listed, known.delisted_on) == (NEW, True, None)
    assert [(c.code, c.valid_from, c.valid_to) for c in known.codes] == [
        (OLD, None, NEXT),
        (NEW, NEXT, None),
    ]


def test_a_code_that_left_long_ago_is_nobodys_old_code(
    catalog: Catalog, database: Database
) -> None:
    """Only the same or the next list can show a renumbering."""
    take(catalog, OTHERS | {OLD: "吉林碳谷"}, SEPTEMBER)
    take(catalog, OTHERS, OCTOBER)
    take(catalog, OTHERS, NEXT)

    take(catalog, OTHERS | {NEW: "吉林碳谷"}, date(2025, 10, 13))

    assert (read_aliases(database), read_proposals(database)) == ({}, [])


def test_what_was_held_under_both_codes_becomes_one_without_a_bar_twice(
    catalog: Catalog, database: Database, tmp_path: Path
) -> None:
    """Bars, coverage, proofs and memberships of either; the later fetch of a session stands."""
    warehouse = Warehouse(database)
    lake = Lake(tmp_path, aliases=lambda: read_aliases(database))
    take(catalog, OTHERS | {OLD: "吉林碳谷"}, SEPTEMBER)
    number = read_identity(database, OLD)
    bars = bars_of(
        [
            daily_bar(OLD, SEPTEMBER, close=10),
            daily_bar(OLD, OCTOBER, close=11, state="provisional"),
            daily_bar(NEW, OCTOBER, close=12, fetch=1),
            daily_bar(NEW, NEXT, close=13, fetch=1),
        ]
    )
    lake.write(Dataset.KLINE, Period.DAILY, bars)
    warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars)
    for code, day in ((OLD, SEPTEMBER), (NEW, OCTOBER)):
        members = pa.table({"symbol": [code], "name": ["x"]}, schema=BOARD_MEMBERS_SCHEMA)
        catalog.replace_members("BK0818", members, day, "run")
        with database.writing() as connection:
            extend_coverage(connection, "kline", "daily", code, (day, day), "run")
            add_no_trade(connection, Dataset.KLINE, "5m", Proof.ANSWER, {code: [day]})

    take(catalog, OTHERS | {NEW: "吉林碳谷"}, OCTOBER)

    known = read_identity(database, NEW)
    assert known is not None
    assert number is not None
    assert known.number == number.number
    for name in (OLD, NEW):
        for held in (
            lake.read(Dataset.KLINE, Period.DAILY, names=[name]),
            warehouse.read_bars(Dataset.KLINE, Period.DAILY, names=[name]),
        ):
            assert held["symbol"].to_pylist() == [NEW] * 3
            assert held["session"].to_pylist() == [SEPTEMBER, OCTOBER, NEXT]
            assert held["close"].to_pylist() == [10, 12, 13]
        some = lake.read(Dataset.KLINE, Period.DAILY, names=[name], columns=["close"])
        assert some["close"].to_pylist() == [10, 12, 13]
    held_ranges = read_coverage(database, "kline", "daily")
    assert {n: [(r.start, r.end) for r in c.ranges] for n, c in held_ranges.items()} == {
        NEW: [(SEPTEMBER, OCTOBER)]
    }
    proofs = read_no_trade(database, Dataset.KLINE, {"5m"}, None)
    assert list(proofs) == [NEW]
    assert [m.symbol for m in catalog.members("BK0818", SEPTEMBER).members] == [NEW]
    assert [m.symbol for m in catalog.members("BK0818", NEXT).members] == [NEW]
    assert all(check.equal for check in verify(lake, warehouse))


def test_the_lake_is_rewritten_once_and_read_the_same_before_and_after(
    catalog: Catalog, database: Database, tmp_path: Path
) -> None:
    """Until the rewriting has ended, readers translate; so are late writes translated."""
    lake = Lake(tmp_path, aliases=lambda: read_aliases(database))
    raw = Lake(tmp_path)
    take(catalog, OTHERS | {OLD: "吉林碳谷"}, SEPTEMBER)
    lake.write(
        Dataset.KLINE,
        Period.DAILY,
        bars_of([daily_bar(OLD, SEPTEMBER), daily_bar("600000.SH", SEPTEMBER)]),
    )
    take(catalog, OTHERS | {NEW: "吉林碳谷"}, OCTOBER)
    before = lake.read(Dataset.KLINE, Period.DAILY)
    partition = Partition(Dataset.KLINE, Period.DAILY, "2025")
    assert set(raw.read_partition(partition)["symbol"].to_pylist()) == {"600000.SH", OLD}

    assert [lake.recode(partition), lake.recode(partition)] == [True, False]

    assert set(raw.read_partition(partition)["symbol"].to_pylist()) == {"600000.SH", NEW}
    after = lake.read(Dataset.KLINE, Period.DAILY)
    assert bars_digest(Dataset.KLINE, before) == bars_digest(Dataset.KLINE, after)
    late = bars_of([daily_bar(OLD, OCTOBER)])
    lake.write(Dataset.KLINE, Period.DAILY, late)
    Warehouse(database).write_bars(Dataset.KLINE, Period.DAILY, late)
    assert raw.read(Dataset.KLINE, Period.DAILY, names=[NEW]).num_rows == 2
    assert [row.symbol for row in catalog.symbols(listed_only=False) if row.symbol == OLD] == []


def test_names_and_listing_dates_are_kept_as_the_lists_gave_them(
    catalog: Catalog, database: Database
) -> None:
    """A name has the session of the first list that showed it; a first day is exact, or unknown."""
    new, gone = "301581.SZ", "000976.SZ"
    take(catalog, OTHERS | {"000002.SZ": "万  科Ａ", gone: "*ST退市"}, SEPTEMBER)
    take(catalog, OTHERS | {"000002.SZ": "XD万 科Ａ", new: "N新股", gone: "*ST退市"}, OCTOBER)
    take(catalog, OTHERS | {"000002.SZ": "万  科Ａ", new: "新股"}, NEXT)

    def known(code: str) -> tuple[list[tuple[str, date]], date | None, date | None]:
        found = read_identity(database, code)
        assert found is not None
        return list(found.names), found.listed_on, found.delisted_on

    vanke = [("万  科Ａ", SEPTEMBER), ("XD万 科Ａ", OCTOBER), ("万  科Ａ", NEXT)]
    assert known("000002.SZ") == (vanke, None, None)
    assert known(new) == ([("N新股", OCTOBER), ("新股", NEXT)], OCTOBER, None)
    assert known(gone) == ([("*ST退市", SEPTEMBER)], None, NEXT)
    assert read_identity(database, "999999.SH") is None


def test_a_stock_and_an_index_with_the_same_digits_are_two_symbols_in_every_store(
    database: Database, tmp_path: Path
) -> None:
    """000001.SZ and 000001.SH share nothing: not a bar, an id, a range or a name."""
    bank, index = "000001.SZ", "000001.SH"
    lake, warehouse = Lake(tmp_path), Warehouse(database)
    bars = bars_of([daily_bar(bank, NEXT, close=11), daily_bar(index, NEXT, close=3900)])
    lake.write(Dataset.KLINE, Period.DAILY, bars)
    warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars)
    with database.writing() as connection:
        extend_coverage(connection, "kline", "daily", bank, (NEXT, NEXT), "run")

    for code, close in ((bank, 11), (index, 3900)):
        for held in (
            lake.read(Dataset.KLINE, Period.DAILY, names=[code]),
            warehouse.read_bars(Dataset.KLINE, Period.DAILY, names=[code]),
        ):
            assert (held["symbol"].to_pylist(), held["close"].to_pylist()) == ([code], [close])
    both = [read_identity(database, code) for code in (bank, index)]
    assert len({each.number for each in both if each}) == 2
    assert list(read_coverage(database, "kline", "daily")) == [bank]
