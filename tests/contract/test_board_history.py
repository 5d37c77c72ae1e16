"""How boards changed, on each database: what lists showed, no more and no less."""

import csv
import json
from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from market.boards import BOARD_LIST_SCHEMA, BOARD_MEMBERS_SCHEMA, BoardKind
from market.sessions import Window
from storage.board_history import BoardEvent, board_changes, taxonomies
from storage.catalog import Catalog
from storage.database import Database

EXCERPTS = Path(__file__).parents[1] / "data" / "boards"
MARCH, AUGUST, NEXT = date(2025, 3, 3), date(2025, 8, 7), date(2025, 8, 8)
EVER = Window(date(1990, 12, 19), date.max)


def take(catalog: Catalog, names: dict[str, str], session: date) -> None:
    """Take a list of concepts."""
    rows = [{"board": code, "name": name} for code, name in names.items()]
    boards = pa.Table.from_pylist(rows, schema=BOARD_LIST_SCHEMA)
    assert catalog.replace_boards(BoardKind.CONCEPT, boards, session, "run").accepted


def take_members(catalog: Catalog, symbols: list[str], session: date) -> None:
    """Take the members of one board."""
    table = pa.table({"symbol": symbols, "name": symbols}, schema=BOARD_MEMBERS_SCHEMA)
    assert catalog.replace_members("BK0818", table, session, "run").accepted


def counted(database: Database, window: Window = EVER) -> Counter[str]:
    """How many changes of each kind there are."""
    return Counter(change.event.value for change in board_changes(database, window))


def excerpt(name: str) -> dict[str, str]:
    """Recorded boards by code."""
    with (EXCERPTS / name).open(encoding="utf-8", newline="") as text:
        return {row["board"]: row["name"] for row in csv.DictReader(text)}


def test_recorded_renames_and_boards_that_came_and_went_are_exactly_those_reported(
    database: Database,
) -> None:
    """BK0940 is one board under two names; a name is never a key."""
    catalog = Catalog(database)
    old, new = excerpt("concepts_20250303.csv"), excerpt("concepts_20250807.csv")
    take(catalog, old, MARCH)
    assert counted(database) == {}
    take(catalog, new, AUGUST)

    changes = board_changes(database, EVER, BoardKind.CONCEPT)
    by_event = {e: {c.board for c in changes if c.event is e} for e in BoardEvent}
    assert by_event[BoardEvent.VANISHED] == set(old) - set(new)
    assert by_event[BoardEvent.APPEARED] == set(new) - set(old)
    assert by_event[BoardEvent.RENAMED] == {c for c in old if new.get(c, old[c]) != old[c]}
    assert counted(database) == {"taxonomy": 1, "vanished": 3, "appeared": 6, "renamed": 6}
    assert ("BK0940", "网红直播", "网红经济") in {(c.board, c.before, c.after) for c in changes}
    assert {c.session for c in changes} == {AUGUST}
    assert board_changes(database, EVER, BoardKind.INDUSTRY) == []
    assert counted(database, Window(MARCH, date(2025, 8, 6))) == {}


def test_of_the_whole_recorded_lists_6_are_renamed_30_gone_and_6_new(
    database: Database, recorded_market: Path
) -> None:
    """462 concepts of March 2025, 438 of August."""
    lists = recorded_market / "lists"
    records = json.loads((lists / "concept_boards_em_2025.json").read_text(encoding="utf-8"))
    old = {row["板块代码"]: row["板块名称"] for row in records}
    with (lists / "concept_boards_em_adata.csv").open(encoding="utf-8", newline="") as text:
        new = {row["index_code"]: row["name"] for row in csv.DictReader(text)}
    assert (len(old), len(new)) == (462, 438)
    catalog = Catalog(database)
    take(catalog, old, MARCH)
    take(catalog, new, AUGUST)

    assert counted(database) == {"taxonomy": 1, "vanished": 30, "appeared": 6, "renamed": 6}


def test_a_taxonomy_version_lasts_as_long_as_lists_show_it(database: Database) -> None:
    """It has a name, a first and a last session; the same set again after another is a new one."""
    catalog = Catalog(database)
    names = {f"BK{n}": f"n{n}" for n in range(1000, 1020)}
    fewer = {code: name for code, name in names.items() if code != "BK1000"}
    for boards, session in (
        (names, MARCH), (names, date(2025, 3, 4)), (fewer, AUGUST), (names, NEXT),
    ):  # fmt: skip
        take(catalog, boards, session)

    first, second, third = taxonomies(database)
    assert (first.first_session, first.last_session) == (MARCH, date(2025, 3, 4))
    assert (second.first_session, second.last_session) == (AUGUST, AUGUST)
    assert first.version.startswith("concept-20250303-")
    assert first.content_hash == third.content_hash
    assert first.version != third.version
    changes = [c for c in board_changes(database, EVER) if c.event is BoardEvent.TAXONOMY]
    assert [(c.before, c.after) for c in changes] == [
        (first.version, second.version), (second.version, third.version),
    ]  # fmt: skip
    assert counted(database) == {"taxonomy": 2, "vanished": 1, "appeared": 1}


def test_of_two_lists_of_one_session_only_the_later_counts(database: Database) -> None:
    """A board that was missing for an hour never vanished."""
    catalog = Catalog(database)
    names = {f"BK{n}": f"n{n}" for n in range(1000, 1020)}
    take(catalog, names, MARCH)
    take(catalog, {c: n for c, n in names.items() if c != "BK1000"}, AUGUST)
    take(catalog, names, AUGUST)

    assert [(t.first_session, t.last_session) for t in taxonomies(database)] == [(MARCH, AUGUST)]
    assert counted(database) == {}


@pytest.mark.parametrize("kind", [BoardKind.CONCEPT, None])
def test_joins_and_leaves_are_changes_and_the_first_members_are_none(
    database: Database, kind: BoardKind | None
) -> None:
    """Knowledge begins with the first list; from then on each change has its session."""
    catalog = Catalog(database)
    take(catalog, {"BK0818": "可燃冰"}, MARCH)
    take_members(catalog, ["600519.SH", "000001.SZ", "000002.SZ"], MARCH)
    take_members(catalog, ["600519.SH", "000001.SZ", "300750.SZ"], AUGUST)
    take_members(catalog, ["600519.SH", "000001.SZ", "300750.SZ", "000002.SZ"], NEXT)

    changes = board_changes(database, EVER, kind)

    assert [(c.session, c.event.value, c.symbol, c.board) for c in changes] == [
        (AUGUST, "joined", "300750.SZ", "BK0818"),
        (AUGUST, "left", "000002.SZ", "BK0818"),
        (NEXT, "joined", "000002.SZ", "BK0818"),
    ]
    assert board_changes(database, EVER, BoardKind.INDUSTRY) == []
