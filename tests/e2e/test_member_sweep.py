"""Members of all boards by one list of symbols: as by pages, for a fraction of the requests."""

from collections.abc import Iterator
from datetime import date, datetime

import pytest

from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.boards import BoardKind
from market.clock import EXCHANGE_TZ
from storage.catalog import Catalog
from storage.database import Database
from tests.fixtures.cli import Installation, Said

FIRST, SECOND, THIRD = date(2025, 12, 26), date(2025, 12, 29), date(2025, 12, 30)


@pytest.fixture(scope="module")
def market() -> SeededMarket:
    """Seven pages of symbols, some ninety concepts."""
    return SeededMarket(seed=5, symbols=700)


@pytest.fixture
def server(market: SeededMarket) -> Iterator[SimulatorServer]:
    """Of the larger market."""
    with SimulatorServer(market) as running:
        yield running


def sync(
    installation: Installation, server: SimulatorServer, day: date, kind: str = "concepts"
) -> Said:
    """The boards of a session, its log begun anew."""
    server.clock.set(datetime(day.year, day.month, day.day, 16, tzinfo=EXCHANGE_TZ))
    server.log.clear()
    said = installation.run(
        "sync", kind, "--from", day.isoformat(), "--upstream", server.url, "--json"
    )
    assert said.code == 0, said.stdout + said.stderr
    return said


def asked(server: SimulatorServer, selector: str) -> list[str]:
    """The lists asked for whose selector begins so."""
    entries = [e.query.get("fs", "") for e in server.log.since(0) if "clist" in e.path]
    return [fs for fs in entries if fs.startswith(selector)]


def assert_members(
    installation: Installation, market: SeededMarket, day: date, kind: BoardKind
) -> int:
    """Every board of the catalog has the market's own members; how many boards there are."""
    database = Database(installation.sql())
    catalog = Catalog(database)
    boards, checked = [row.code for row in catalog.boards(kind)], 0
    for board in boards:
        known = catalog.members(board, day)
        if known.known_from is None or known.known_from > day:
            continue  # a concept that came later
        held = {m.symbol[:6] for m in known.members}
        assert held == set(market.members(board, day)), board
        checked += 1
    database.dispose()
    return checked


@pytest.mark.lengthy
def test_after_the_first_run_members_of_all_boards_cost_one_sweep_and_a_few_pages(
    installation: Installation, server: SimulatorServer, market: SeededMarket
) -> None:
    """Requests by the simulator's own log; members of every board as the market has them."""
    sync(installation, server, FIRST)
    by_pages = len(asked(server, "b:"))
    boards = assert_members(installation, market, FIRST, BoardKind.CONCEPT)
    assert by_pages >= boards > 80

    sync(installation, server, SECOND)

    sweep = -(-len(market.listing(SECOND)) // 100)
    assert len(asked(server, "m:0")) == sweep
    checked = set(asked(server, "b:"))
    assert len(checked) == 3
    assert len(asked(server, "b:")) + sweep < by_pages / 4
    assert_members(installation, market, SECOND, BoardKind.CONCEPT)

    sync(installation, server, THIRD)
    assert not set(asked(server, "b:")) & checked  # others have their turn
    assert assert_members(installation, market, THIRD, BoardKind.CONCEPT) == boards + 1  # a new one
    assert assert_members(installation, market, FIRST, BoardKind.CONCEPT) == boards

    sync(installation, server, THIRD)
    assert asked(server, "b:") + asked(server, "m:0") == []  # nothing is owed of this session


@pytest.mark.lengthy
def test_industries_come_by_the_one_name_of_each_symbol(
    installation: Installation, server: SimulatorServer, market: SeededMarket
) -> None:
    """A few symbols change theirs once; a page that names no concepts is nothing to industries."""
    sync(installation, server, FIRST, "industries")
    by_pages = len(asked(server, "b:"))
    server.faults.add({"name": "no_concepts", "pn": "3"})

    said = sync(installation, server, SECOND, "industries")

    assert "pages win" not in " ".join(said.json["notices"])
    assert len(asked(server, "b:")) + len(asked(server, "m:0")) < by_pages / 2
    assert assert_members(installation, market, SECOND, BoardKind.INDUSTRY) >= by_pages / 2


@pytest.mark.lengthy
def test_a_page_that_disagrees_wins_for_all_boards(
    installation: Installation, server: SimulatorServer, market: SeededMarket
) -> None:
    """A member page without its last rows, its total agreeing: named, and all boards are paged."""
    sync(installation, server, FIRST)
    by_pages = len(asked(server, "b:"))
    server.faults.add({"name": "short_list", "rows": 7, "board": "BK0596", "count": 1})
    server.clock.set(datetime(2025, 12, 29, 16, 0, tzinfo=EXCHANGE_TZ))
    server.log.clear()

    said = installation.run(
        "sync", "concepts", "--from", "2025-12-29", "--upstream", server.url, "--json"
    )

    (failure,) = said.json["failures"]
    assert (failure["subject"], failure["outcome"]) == ("BK0596", "not_stored")
    (notice,) = [n for n in said.json["notices"] if "the pages win for all boards" in n]
    assert "of BK0596 it names" in notice
    assert "where the pages have 7" in notice
    assert len(asked(server, "b:")) > by_pages - 10
    database = Database(installation.sql())
    for row in Catalog(database).boards(BoardKind.CONCEPT):
        held = {m.symbol[:6] for m in Catalog(database).members(row.code, SECOND).members}
        day = FIRST if row.code == "BK0596" else SECOND
        assert held == set(market.members(row.code, day)), row.code
    database.dispose()


@pytest.mark.lengthy
def test_a_commit_killed_among_its_boards_is_done_again_without_another_request(
    installation: Installation, server: SimulatorServer, market: SeededMarket
) -> None:
    """Thirty boards have their new members, the ledger knows of none: the next commit goes on."""
    sync(installation, server, FIRST)
    installation.environment |= {"KILL_AT": "members_taken:30", "RECONCILE_EVERY_S": "1"}

    sync(installation, server, SECOND)

    assert (installation.home / "killed").exists()
    assert len(set(asked(server, "b:"))) == 3
    assert len(asked(server, "m:0")) == -(-len(market.listing(SECOND)) // 100)
    assert_members(installation, market, SECOND, BoardKind.CONCEPT)


@pytest.mark.lengthy
def test_names_that_a_page_lost_are_not_believed_and_the_pages_win(
    installation: Installation, server: SimulatorServer, market: SeededMarket
) -> None:
    """A page of a hundred symbols without concepts: said, and no member lost."""
    sync(installation, server, FIRST)
    by_pages = len(asked(server, "b:"))
    server.faults.add({"name": "no_concepts", "pn": "3"})

    said = sync(installation, server, SECOND)

    (notice,) = [n for n in said.json["notices"] if "the pages win for all boards" in n]
    assert "belong to boards, and it names none of them" in notice
    assert len(asked(server, "b:")) == pytest.approx(by_pages, abs=3)
    assert_members(installation, market, SECOND, BoardKind.CONCEPT)


@pytest.mark.lengthy
def test_a_sweep_that_cannot_be_read_leaves_members_to_their_pages(
    installation: Installation, server: SimulatorServer, market: SeededMarket
) -> None:
    """Asked twice, then every board by page; the run says why, and succeeds."""
    sync(installation, server, FIRST)
    server.faults.add({"name": "short_page", "pn": "2", "fs": "m:0 t:6"})

    said = sync(installation, server, SECOND)

    assert said.json["outcomes"]["not_served"] == 1
    assert "the list of symbols names no boards" in " ".join(said.json["notices"])
    assert_members(installation, market, SECOND, BoardKind.CONCEPT)


@pytest.mark.lengthy
def test_with_akshare_alone_and_where_pages_are_asked_for_there_is_no_sweep(
    installation: Installation, server: SimulatorServer, market: SeededMarket
) -> None:
    """Two settings, the same members."""
    sync(installation, server, FIRST)
    for day, setting in (
        (SECOND, ("EASTMONEY_CLIENT", "akshare")),
        (THIRD, ("MEMBERS_FROM", "pages")),
    ):
        name, value = setting
        installation.environment[name] = value
        sync(installation, server, day)
        assert asked(server, "m:0") == []
        assert len(set(asked(server, "b:"))) > 80
        assert_members(installation, market, day, BoardKind.CONCEPT)
        del installation.environment[name]
