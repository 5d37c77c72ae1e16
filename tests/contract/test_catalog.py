"""Lists and members: whole lists replace, doubtful ones are set aside, history is intervals."""

from datetime import date

import pyarrow as pa
import pytest

from market.boards import (
    BOARD_LIST_SCHEMA,
    BOARD_MEMBERS_SCHEMA,
    SYMBOL_LIST_SCHEMA,
    BoardKind,
    InvalidBoardError,
)
from storage.catalog import Catalog
from storage.database import Database

MONDAY, TUESDAY, WEDNESDAY = date(2025, 3, 3), date(2025, 3, 4), date(2025, 3, 5)
THURSDAY = date(2025, 3, 6)
BOARD = "BK0818"


@pytest.fixture
def catalog(database: Database) -> Catalog:
    """An empty catalog on each database."""
    return Catalog(database)


def codes(count: int, start: int = 600_000) -> list[str]:
    """So many symbols."""
    return [f"{start + n}.SH" for n in range(count)]


def members(names: list[str]) -> pa.Table:
    """A member list."""
    return pa.table({"symbol": names, "name": names}, schema=BOARD_MEMBERS_SCHEMA)


def symbols(names: list[str], suspended: tuple[str, ...] = ()) -> pa.Table:
    """A symbol list."""
    return pa.table(
        {
            "symbol": names,
            "name": names,
            "close": [1.0] * len(names),
            "previous_close": [1.0] * len(names),
            "suspended": [name in suspended for name in names],
        },
        schema=SYMBOL_LIST_SCHEMA,
    )


def held(catalog: Catalog, on: date) -> list[str]:
    """The members on a day."""
    return [m.symbol for m in catalog.members(BOARD, on).members]


def test_members_are_answered_for_any_day_since_the_first_list(catalog: Catalog) -> None:
    """Joins open an interval, leaves close one, and a member may come back."""
    a, b, c = codes(3)
    catalog.replace_members(BOARD, members([a, b]), MONDAY, "run1")
    catalog.replace_members(BOARD, members([b, c]), TUESDAY, "run2")
    catalog.replace_members(BOARD, members([a, b, c]), WEDNESDAY, "run3")

    assert held(catalog, MONDAY) == [a, b]
    assert held(catalog, TUESDAY) == [b, c]
    assert held(catalog, WEDNESDAY) == [a, b, c]
    assert held(catalog, date(2025, 3, 9)) == [a, b, c]
    known = catalog.members(BOARD, MONDAY)
    assert (known.known_from, known.known_to) == (MONDAY, WEDNESDAY)
    assert held(catalog, date(2025, 2, 28)) == []


def test_present_members_of_every_board_of_a_kind_come_at_once(catalog: Catalog) -> None:
    """Who left is none, a board without members is not there, another kind's are not either."""
    a, b, c = codes(3)
    names = pa.table(
        {"board": [BOARD, "BK0001"], "name": ["可燃冰", "白酒"]}, schema=BOARD_LIST_SCHEMA
    )
    catalog.replace_boards(BoardKind.CONCEPT, names, MONDAY, "run1")
    catalog.replace_members(BOARD, members([a, b]), MONDAY, "run1")
    catalog.replace_members(BOARD, members([b, c]), TUESDAY, "run2")
    catalog.replace_members("BK0477", members([a]), TUESDAY, "run2")

    assert catalog.members_by_board(BoardKind.CONCEPT) == {BOARD: {b, c}}
    assert catalog.members_by_board(BoardKind.INDUSTRY) == {}


def test_the_same_list_twice_changes_nothing(catalog: Catalog) -> None:
    """A redelivered commit opens and closes no interval."""
    names = codes(5)
    assert catalog.replace_members(BOARD, members(names), MONDAY, "run1").added == 5

    again = catalog.replace_members(BOARD, members(names), MONDAY, "run1")

    assert (again.accepted, again.added, again.removed) == (True, 0, 0)


def test_a_member_that_leaves_within_its_first_session_was_never_one(catalog: Catalog) -> None:
    """An interval without a session is not kept."""
    a, b, c, d = codes(4)
    catalog.replace_members(BOARD, members([a, b, c, d]), MONDAY, "run1")
    catalog.replace_members(BOARD, members([a, b, c]), MONDAY, "run2")
    assert held(catalog, MONDAY) == [a, b, c]

    catalog.replace_members(BOARD, members([a, b, c, d]), MONDAY, "run3")
    assert held(catalog, MONDAY) == [a, b, c, d]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (250, 0, "empty"),
        (250, 200, "full page"),
        (250, 120, "120 rows where 250 are held"),
        (101, 100, "full page"),
        (4, 2, "2 rows where 4 are held"),
        (2, 1, "1 row where 2 are held"),
        (20, 17, "17 rows where 20 are held"),
    ],
)
def test_a_doubtful_list_is_set_aside_and_the_last_good_one_stays(
    catalog: Catalog, before: int, after: int, reason: str
) -> None:
    """Empty, cut at a page, or much shorter: nothing that is held is touched."""
    names = codes(before)
    catalog.replace_members(BOARD, members(names), MONDAY, "run1")

    change = catalog.replace_members(BOARD, members(names[:after]), TUESDAY, "run2")

    assert not change.accepted
    assert reason in str(change.reason)
    assert held(catalog, TUESDAY) == names


@pytest.mark.parametrize(("before", "after"), [(0, 200), (150, 200)])
def test_a_list_that_ends_at_a_full_page_is_taken_once_a_later_session_shows_the_same(
    catalog: Catalog, before: int, after: int
) -> None:
    """The first of all and one that grew may be cut as well as one that shrunk."""
    names = codes(after)
    if before:
        catalog.replace_members(BOARD, members(names[:before]), MONDAY, "run1")

    first = catalog.replace_members(BOARD, members(names), TUESDAY, "run2")
    later = catalog.replace_members(BOARD, members(names), WEDNESDAY, "run3")

    assert (first.accepted, later.accepted) == (False, True)
    assert "a full page" in str(first.reason)
    assert held(catalog, WEDNESDAY) == names


@pytest.mark.parametrize(("before", "after"), [(20, 18), (4, 3), (3, 2), (250, 230)])
def test_a_shrink_of_a_tenth_or_of_one_member_is_an_ordinary_change(
    catalog: Catalog, before: int, after: int
) -> None:
    """Boards lose members all the time."""
    names = codes(before)
    catalog.replace_members(BOARD, members(names), MONDAY, "run1")

    assert catalog.replace_members(BOARD, members(names[:after]), TUESDAY, "run2").accepted
    assert held(catalog, TUESDAY) == names[:after]


def test_a_shrunk_list_is_taken_when_a_later_session_shows_the_same(catalog: Catalog) -> None:
    """Runs of the same session prove nothing, however many; the next session's list does."""
    names = codes(50)
    catalog.replace_members(BOARD, members(names), MONDAY, "run1")
    shrunk = members(names[:40])

    for run in ("run2", "run3", "run4"):
        assert not catalog.replace_members(BOARD, shrunk, TUESDAY, run).accepted
    other = catalog.replace_members(BOARD, members(names[5:45]), WEDNESDAY, "run5")
    assert "a later session of the exchange" in str(other.reason), "another list is no second sight"
    assert catalog.replace_members(BOARD, shrunk, WEDNESDAY, "run6").accepted
    assert held(catalog, TUESDAY) == names
    assert held(catalog, WEDNESDAY) == names[:40]


def test_a_list_that_lost_half_is_taken_in_the_third_session_that_shows_it(
    catalog: Catalog,
) -> None:
    """Two sessions of a lying upstream are not enough for that much."""
    names = codes(50)
    catalog.replace_members(BOARD, members(names), MONDAY, "run1")
    halved = members(names[:25])

    for session, run in ((TUESDAY, "run2"), (TUESDAY, "run3"), (WEDNESDAY, "run4")):
        change = catalog.replace_members(BOARD, halved, session, run)
        assert (change.accepted, "two later sessions" in str(change.reason)) == (False, True)
    assert catalog.replace_members(BOARD, halved, THURSDAY, "run5").accepted
    assert held(catalog, THURSDAY) == names[:25]


def test_a_good_list_in_between_makes_an_earlier_sighting_void(catalog: Catalog) -> None:
    """A fault that comes back is no proof."""
    names = codes(50)
    catalog.replace_members(BOARD, members(names), MONDAY, "run1")
    shrunk = members(names[:40])

    assert not catalog.replace_members(BOARD, shrunk, TUESDAY, "run2").accepted
    assert catalog.replace_members(BOARD, members(names), TUESDAY, "run3").accepted
    assert not catalog.replace_members(BOARD, shrunk, WEDNESDAY, "run4").accepted
    assert held(catalog, WEDNESDAY) == names


def test_an_empty_list_is_never_taken_however_often_it_comes(catalog: Catalog) -> None:
    """No number of runs makes an empty page a fact."""
    catalog.replace_members(BOARD, members(codes(3)), MONDAY, "run1")

    for run in ("run2", "run3", "run4"):
        assert not catalog.replace_members(BOARD, members([]), TUESDAY, run).accepted
    assert len(held(catalog, TUESDAY)) == 3


def test_a_list_with_a_code_twice_is_set_aside(catalog: Catalog) -> None:
    """Where one code stands twice another is missing."""
    a, b = codes(2)
    assert "twice" in str(catalog.replace_members(BOARD, members([a, b, a]), MONDAY, "run1").reason)


def test_an_older_list_does_not_rewrite_history(catalog: Catalog) -> None:
    """A late message about an earlier session is refused."""
    a, b = codes(2)
    catalog.replace_members(BOARD, members([a]), TUESDAY, "run1")

    assert not catalog.replace_members(BOARD, members([b]), MONDAY, "run2").accepted
    assert held(catalog, TUESDAY) == [a]


def test_symbols_know_when_they_were_listed_and_whether_they_trade(catalog: Catalog) -> None:
    """Leaving the list unlists a symbol; it is not forgotten."""
    a, b, c = codes(3)
    catalog.replace_symbols(symbols([a, b, c], suspended=(b,)), MONDAY, "run1")
    change = catalog.replace_symbols(symbols([a, b]), TUESDAY, "run2")

    rows = {row.symbol: row for row in catalog.symbols(listed_only=False)}
    assert (change.added, change.removed) == (0, 1)
    assert [row.symbol for row in catalog.symbols()] == [a, b]
    assert (rows[c].listed, rows[c].last_listed) == (False, MONDAY)
    assert (rows[b].suspended_on, rows[b].first_listed) == (None, MONDAY)


def test_suspension_is_dated_by_the_list_that_showed_it(catalog: Catalog) -> None:
    """A symbol without a trade is suspended on that session."""
    a, b = codes(2)
    catalog.replace_symbols(symbols([a, b], suspended=(b,)), MONDAY, "run1")

    assert {r.symbol: r.suspended_on for r in catalog.symbols()} == {a: None, b: MONDAY}


def test_boards_are_their_codes_and_renames_are_counted(catalog: Catalog) -> None:
    """A renamed board is the same board."""

    def boards(names: dict[str, str]) -> pa.Table:
        return pa.table(
            {"board": list(names), "name": list(names.values())}, schema=BOARD_LIST_SCHEMA
        )

    catalog.replace_boards(
        BoardKind.CONCEPT, boards({"BK0940": "网红直播", "BK0818": "可燃冰"}), MONDAY, "run1"
    )
    catalog.replace_boards(BoardKind.INDUSTRY, boards({"BK0477": "酿酒行业"}), MONDAY, "run1")
    change = catalog.replace_boards(
        BoardKind.CONCEPT, boards({"BK0940": "网红经济", "BK0818": "可燃冰"}), TUESDAY, "run2"
    )

    assert (change.renamed, change.added, change.removed) == (1, 0, 0)
    assert [(b.code, b.name) for b in catalog.boards(BoardKind.CONCEPT)] == [
        ("BK0818", "可燃冰"),
        ("BK0940", "网红经济"),
    ]
    assert [b.code for b in catalog.boards()] == ["BK0818", "BK0940", "BK0477"]


def test_an_unknown_board_is_said(catalog: Catalog) -> None:
    """Not an empty list of members."""
    with pytest.raises(InvalidBoardError, match="no board BK9999 is known"):
        catalog.members("BK9999", MONDAY)
