"""When the names in a list of symbols are believed, and what is asked for by page."""

from collections.abc import Mapping

import pyarrow as pa
import pytest

from market.boards import BoardKind
from pipeline.named_members import Evidence, Judgement, judge_names, read_names

BOARDS = {"BK0001": "白酒", "BK0002": "储能", "BK0003": "医美", "BK0004": "乳业"}


def quotes(**concepts: list[str] | None) -> pa.Table:
    """Symbols (``s600519`` for 600519.SH) with their concepts; the first is the industry."""
    return pa.table(
        {
            "symbol": [f"{name[1:]}.SH" for name in concepts],
            "name": list(concepts),
            "industry": [None if c is None else c[0] for c in concepts.values()],
            "concepts": pa.array(list(concepts.values()), pa.list_(pa.string())),
        }
    )


def judged(
    table: pa.Table,
    held: Mapping[str, set[str]],
    paged: Mapping[str, set[str]],
    boards: Mapping[str, str] = BOARDS,
) -> Judgement:
    """The judgement of concepts."""
    named = read_names(BoardKind.CONCEPT, table, boards)
    return judge_names(named, Evidence(sorted(held), held, paged))


MANY = quotes(
    **{f"s600{n:03}": ["白酒", "储能"] if n % 2 else ["储能", "医美"] for n in range(100)}
)
ODD = {f"600{n:03}.SH" for n in range(100) if n % 2}
EVEN = {f"600{n:03}.SH" for n in range(100)} - ODD
HELD = {"BK0001": ODD, "BK0002": ODD | EVEN, "BK0003": EVEN}


def test_where_pages_agree_the_names_are_taken() -> None:
    """Of every board but the one whose pages came anyway."""
    verdict = judged(MANY, HELD, {"BK0001": ODD})

    assert (verdict.take, verdict.page, verdict.notices) == (["BK0002", "BK0003"], [], [])


def test_one_page_that_disagrees_wins_for_all_boards_and_is_named() -> None:
    """Board, both counts, and who differs."""
    verdict = judged(MANY, HELD, {"BK0001": ODD | {"600000.SH"}})

    assert (verdict.take, verdict.page) == ((), ["BK0002", "BK0003"])
    (notice,) = verdict.notices
    assert "of BK0001 it names 50 members where the pages have 51: 600000.SH differ" in notice


@pytest.mark.parametrize("paged", [{}, {"BK0004": {"600001.SH"}}])
def test_names_that_no_page_vouches_for_are_not_taken(paged: dict[str, set[str]]) -> None:
    """No page came, or only that of a board that nobody is named for."""
    verdict = judged(MANY, HELD, paged)

    assert verdict.take == ()
    assert "none of its boards could be held against its pages" in verdict.notices[-1]


def test_a_board_that_changed_much_or_is_not_named_is_asked_for_by_page() -> None:
    """A few members are news, many are a doubt; nobody is a doubt of its own."""
    held = {**HELD, "BK0003": set(sorted(EVEN)[:40]), "BK0004": {"600001.SH"}}
    verdict = judged(MANY, held, {"BK0001": ODD})

    assert (verdict.take, verdict.page) == (["BK0002"], ["BK0003", "BK0004"])
    assert any("names nobody of BK0004" in n for n in verdict.notices)
    assert any("BK0003 changed much" in n for n in verdict.notices)


def test_a_name_of_two_boards_or_of_none_is_said_and_read_for_neither() -> None:
    """The two boards are asked for by page."""
    boards = {"BK0001": "白酒", "BK0002": "储能", "BK0003": "储能"}
    verdict = judged(MANY, HELD, {"BK0001": ODD}, boards)

    assert (verdict.take, verdict.page) == ([], ["BK0002", "BK0003"])
    assert any("the name 储能 is borne by BK0002 and BK0003" in n for n in verdict.notices)
    assert any("names that no listed board bears: 医美" in n for n in verdict.notices)


def test_symbols_that_lost_all_their_names_are_a_doubt_of_the_whole_list() -> None:
    """As one page without names has them: no board would change much, and all are wrong."""
    rows = MANY.to_pylist()
    for row in rows[:3]:
        row["concepts"] = None
    verdict = judged(pa.Table.from_pylist(rows, schema=MANY.schema), HELD, {"BK0001": ODD})

    assert verdict.take == ()
    assert "600000.SH, 600001.SH, 600002.SH belong to boards" in verdict.notices[-1]


def test_many_boards_that_change_much_at_once_are_a_doubt_of_the_whole_list() -> None:
    """Seven of seven: rather the list than the market."""
    boards = {f"BK{n:04}": f"n{n}" for n in range(8)}
    table = quotes(**{f"s600{n:03}": list(boards.values()) for n in range(100)})
    every = set(table["symbol"].to_pylist())
    held = {code: every if code == "BK0000" else set(sorted(every)[:90]) for code in boards}
    verdict = judged(table, held, {"BK0000": every}, boards)

    assert verdict.take == ()
    assert "7 of 7 boards would change much at once" in verdict.notices[-1]


def test_a_list_without_names_leaves_all_boards_to_their_pages() -> None:
    """As AKShare's and a recorded one are."""
    verdict = judged(quotes(s600519=None), HELD, {"BK0001": ODD})

    assert (verdict.take, verdict.page) == ((), ["BK0002", "BK0003"])
    assert "names no boards" in verdict.notices[0]


def test_an_industry_is_one_name() -> None:
    """Boards of a higher level, which no symbol names, are not read."""
    boards = {"BK0010": "白酒", "BK0011": "储能", "BK0012": "食品饮料"}
    named = read_names(BoardKind.INDUSTRY, MANY, boards)

    assert {code: set(members) for code, members in named.members.items()} == {
        "BK0010": ODD,
        "BK0011": EVEN,
    }
