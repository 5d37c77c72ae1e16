"""Concepts and industries end to end: lists, members, klines, and pages that lie."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from storage.catalog import Catalog
from storage.database import Database
from storage.lake import Lake
from tests.fixtures.cli import Installation

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket
    from ingest.simulator.server import SimulatorServer

TODAY = date(2025, 12, 31)


@pytest.fixture
def installation(installation: Installation) -> Installation:
    """One that reads the pages of every board in every run; for the other way see the sweep's."""
    installation.environment["MEMBERS_FROM"] = "pages"
    return installation


def members_of(installation: Installation, board: str, on: str) -> set[str]:
    """Codes of a board's members on a day, by the command."""
    said = installation.run("boards", "--members", board, "--on", on, "--json")
    assert said.code == 0, said.stderr
    return {row["symbol"][:6] for row in said.json["members"]}


@pytest.mark.lengthy
def test_lists_members_and_klines_are_the_markets(
    installation: Installation, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """Every board, every member, every bar; and members of a past day from intervals."""
    words = ("--from", "2025-11-03", "--upstream", simulator.url, "--json")
    simulator.clock.set(datetime(2025, 3, 3, 16, 0, tzinfo=EXCHANGE_TZ))
    early = installation.run("sync", "industries", "--from", "2025-03-03", *words[2:])
    assert early.code == 0, early.stderr
    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))

    for kind in ("concepts", "industries"):
        said = installation.run("sync", kind, *words)
        assert (said.code, set(said.json["outcomes"])) == (0, {"ok"}), said.stderr

    boards = installation.run("boards", "--json").json
    assert {b["kind"] for b in boards} == {"concept", "industry"}
    for board in ("BK0477", "BK0818"):
        assert members_of(installation, board, "2025-12-31") == set(
            seeded_market.members(board, TODAY)
        )
    assert members_of(installation, "BK0477", "2025-03-05") == set(
        seeded_market.members("BK0477", date(2025, 3, 3))
    )
    before = installation.run("boards", "--members", "BK0477", "--on", "2025-02-28")
    assert (before.code, "known since 2025-03-03" in before.stderr) == (1, True)

    bars = Lake(installation.home / "lake").read(Dataset.BOARD_KLINE, Period.DAILY)
    assert {row["board"] for row in bars.select(["board"]).to_pylist()} == {
        b["board"] for b in boards
    }
    assert installation.run("verify").code == 0
    assert "end_at" in installation.run("klines", "BK0477", "--format", "csv").stdout


@pytest.mark.lengthy
def test_a_listed_board_without_members_is_a_success_unless_members_are_held(
    installation: Installation, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """Its outcome says what it is; once members are held the same answer shrinks nothing."""
    words = ("sync", "industries", "--from", "2025-12-31", "--upstream", simulator.url, "--json")
    simulator.clock.set(datetime(2025, 12, 30, 16, 0, tzinfo=EXCHANGE_TZ))
    none = simulator.faults.add({"name": "short_list", "rows": 0, "fs": "b:BK0477"})

    empty = installation.run(*words[:3], "2025-12-30", *words[4:])

    assert (empty.code, empty.json["state"]) == (0, "committed")
    assert empty.json["outcomes"]["empty_board"] == 1
    outcomes = installation.run("runs", empty.json["run_id"], "--json").json["details"]
    (mine,) = (row for row in outcomes if row["outcome"] == "empty_board")
    assert (mine["work"], mine["subject"]) == ("board_members", "BK0477")
    assert "lists no members of board BK0477" in mine["reason"]

    simulator.faults.remove(none.id)
    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))
    assert installation.run(*words).code == 0
    held = set(seeded_market.members("BK0477", TODAY))
    assert members_of(installation, "BK0477", "2025-12-31") == held
    simulator.faults.add({"name": "short_list", "rows": 0, "fs": "b:BK0477"})
    simulator.clock.set(datetime(2026, 1, 5, 16, 0, tzinfo=EXCHANGE_TZ))
    emptied = installation.run(*words)

    assert (emptied.code, emptied.json["state"]) == (1, "partial")
    (failure,) = emptied.json["failures"]
    assert (failure["subject"], failure["outcome"]) == ("BK0477", "unknown_symbol")
    assert f"{len(held)} are held: the last good list stays" in failure["reason"]
    assert members_of(installation, "BK0477", "2026-01-05") == held


def test_a_board_that_no_list_names_is_not_an_empty_one(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """The upstream answers both in the same words."""
    said = installation.run(
        "sync", "industries", "--symbols", "BK9999", "--upstream", simulator.url, "--json"
    )

    assert (said.code, said.json["outcomes"]) == (1, {"unknown_symbol": 2})


@pytest.mark.lengthy
def test_of_a_day_after_the_latest_list_it_is_said_that_nothing_is_known(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Until when it is known, on stderr and as JSON; a day that has not come is wrong usage."""
    words = ("sync", "industries", "--from", "2025-12-31", "--upstream", simulator.url)
    assert installation.run(*words).code == 0
    ask = ("boards", "--members", "BK0477", "--on")

    known = installation.run(*ask, "2025-12-31", "--json")
    later = installation.run(*ask, "2026-01-05", "--json")
    tomorrow = datetime.now(EXCHANGE_TZ).date() + timedelta(days=1)
    future = installation.run(*ask, tomorrow.isoformat())

    assert (known.json["known_to"], known.stderr) == ("2025-12-31", "")
    assert (later.code, later.json["known_to"]) == (0, "2025-12-31")
    assert later.json["members"] == known.json["members"]
    assert "nothing is known of 2026-01-05" in later.stderr
    assert "known up to 2025-12-31" in later.stderr
    assert (future.code, "is in the future" in future.stderr) == (2, True)
    assert "known from 2025-12-31 to 2025-12-31" in installation.run(*ask[:3]).stderr


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "fault",
    [
        "short_list",
        pytest.param("short_page", marks=pytest.mark.lengthy),
        pytest.param("empty_page", marks=pytest.mark.lengthy),
        pytest.param("truncated_body", marks=pytest.mark.lengthy),
    ],
)
def test_a_page_that_lies_never_shrinks_a_board(
    installation: Installation,
    simulator: "SimulatorServer",
    seeded_market: "SeededMarket",
    fault: str,
) -> None:
    """Truncated, empty, or cut with a total that agrees: the members held stay."""
    words = ("sync", "concepts", "--from", "2025-12-30", "--upstream", simulator.url, "--json")
    simulator.clock.set(datetime(2025, 12, 30, 16, 0, tzinfo=EXCHANGE_TZ))
    assert installation.run(*words).code == 0
    boards = [b["board"] for b in installation.run("boards", "--kind", "concept", "--json").json]
    big = max(boards, key=lambda code: len(seeded_market.members(code, TODAY)))
    held = members_of(installation, big, "2025-12-30")
    assert len(held) > 100

    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))
    words_of_fault = {"name": fault, "fs": f"b:{big}"}
    simulator.faults.add(
        {**words_of_fault, "rows": 100} if fault == "short_list" else words_of_fault
    )
    lied_to = installation.run(*words)

    assert lied_to.code == 1
    failures = {row["subject"]: row for row in lied_to.json["failures"]}
    assert set(failures) == {big}
    assert failures[big]["outcome"] in ("truncated", "not_stored", "malformed")
    assert members_of(installation, big, "2025-12-31") == held

    simulator.faults.clear()
    healed = installation.run(*words)
    assert healed.code == 0, healed.stdout
    assert members_of(installation, big, "2025-12-31") == set(seeded_market.members(big, TODAY))
    assert members_of(installation, big, "2025-12-30") == held


@pytest.mark.lengthy
def test_runs_of_one_session_never_make_a_cut_list_true(
    installation: Installation, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """Two rows of every board, the total agreeing, in two runs: all members stay on every date."""
    words = ("sync", "industries", "--from", "2025-12-31", "--upstream", simulator.url, "--json")
    simulator.clock.set(datetime(2025, 12, 30, 16, 0, tzinfo=EXCHANGE_TZ))
    yesterday = ("sync", "industries", "--from", "2025-12-30", *words[4:])
    assert installation.run(*yesterday).code == 0
    boards = [b["board"] for b in installation.run("boards", "--json").json]
    members = {board: set(seeded_market.members(board, date(2025, 12, 30))) for board in boards}
    small = min(boards, key=lambda board: len(members[board]))
    assert len(members[small]) == 4

    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))
    simulator.faults.add({"name": "short_list", "rows": 2, "fs": "b:BK"})
    for _ in range(2):
        lied_to = installation.run(*words)
        refused = {f["subject"]: f for f in lied_to.json["failures"]}
        assert (lied_to.code, set(refused)) == (1, set(boards))
        assert {f["outcome"] for f in refused.values()} == {"not_stored"}
        assert "two later sessions" in refused[small]["reason"]
    assert members_of(installation, small, "2025-12-31") == members[small]

    simulator.faults.clear()
    assert installation.run(*words).code == 0
    database = Database(installation.sql())
    catalog = Catalog(database)
    for board in boards:
        for day in (date(2025, 12, 30), TODAY):
            held = {m.symbol[:6] for m in catalog.members(board, day).members}
            assert held == set(seeded_market.members(board, day)), (board, day)
    database.dispose()
    for each in ("2025-12-30", "2025-12-31"):
        assert members_of(installation, small, each) == members[small]


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        ("short_page", 2),
        pytest.param("short_list", 1, marks=pytest.mark.lengthy),
        pytest.param("empty_page", 2, marks=pytest.mark.lengthy),
        pytest.param("data_null", 3, marks=pytest.mark.lengthy),
    ],
)
def test_a_symbol_list_that_lies_unlists_nothing(
    installation: Installation, simulator: "SimulatorServer", fault: str, attempts: int
) -> None:
    """The run fails with the reason, and the symbols held are those of the last whole list.

    A cut list is asked for once more at once, not again and again: each costs many requests.
    """
    words = ("sync", "stocks", "--from", "2025-12-31", "--upstream", simulator.url, "--json")
    assert installation.run(*words).code in (0, 1)
    before = installation.run("status", "--json").json["held"]
    words_of_fault: dict[str, object] = {"name": fault, "path": "clist"}
    simulator.faults.add(
        {**words_of_fault, "rows": 100} if fault == "short_list" else words_of_fault
    )

    simulator.log.clear()

    said = installation.run(*words)

    assert said.code == 1
    firsts = [entry for entry in simulator.log.since(0) if entry.query.get("pn") == "1"]
    assert len(firsts) == attempts
    (failure,) = said.json["failures"]
    assert (failure["work"], failure["subject"]) == ("symbol_list", "symbols")
    assert failure["reason"]
    assert installation.run("status", "--json").json["held"] == before


@pytest.mark.lengthy
def test_changes_of_boards_are_those_of_the_market(
    installation: Installation, simulator: "SimulatorServer", seeded_market: "SeededMarket"
) -> None:
    """Joins and leaves between two sessions, of every industry that is in both lists."""
    words = ("sync", "industries", "--upstream", simulator.url, "--json", "--from")
    before = date(2025, 3, 3)
    simulator.clock.set(datetime(2025, 3, 3, 16, 0, tzinfo=EXCHANGE_TZ))
    assert installation.run(*words, "2025-03-03").code == 0
    early = {b["board"] for b in installation.run("boards", "--json").json}
    simulator.clock.set(datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ))
    assert installation.run(*words, "2025-12-31").code == 0

    said = installation.run("boards", "--changes", "--from", "2025-03-04", "--json").json

    expected = set()
    for board in early & {b["board"] for b in installation.run("boards", "--json").json}:
        old = set(seeded_market.members(board, before))
        new = set(seeded_market.members(board, TODAY))
        expected |= {(board, "joined", code) for code in new - old}
        expected |= {(board, "left", code) for code in old - new}
    assert expected
    assert {
        (c["board"], c["event"], c["symbol"][:6]) for c in said["changes"] if c["symbol"]
    } == expected
    assert (said["known_from"], said["known_to"]) == ("2025-03-03", "2025-12-31")
    assert installation.run("boards", "--from", "2025-03-04").code == 2
    assert installation.run("boards", "--changes", "--on", "2025-03-04").code == 2
