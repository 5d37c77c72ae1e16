"""Boards: how they moved, who was in one on a day, and who joined or left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from admin_tasks.report_facts import BoardHeat, Mover
from admin_tasks.report_market import read_boards, read_moves
from market.bars import Dataset
from market.boards import BoardKind, parse_board_code
from market.errors import UsageError
from market.sessions import Window
from pipeline.kline_query import NothingHeldError
from pipeline.member_reading import read_members
from pipeline.runtime import Runtime
from storage.board_history import BoardChange, board_changes, taxonomies
from storage.catalog import BoardRow, Members
from web.api.parameters import BoardPath
from web.keys import Reader
from web.pages.forms import read_day
from web.pages.looks import Looks
from web.pages.overview import looks_of
from web.pages.rendering import page, services_of
from web.pages.routing import pages

router = pages()

_STEPS = (0.002, 0.01, 0.02, 0.04)
"""Changes at which a tile's colour grows stronger."""
_LARGE, _MIDDLE = 0.06, 0.22
"""Shares of the boards whose tiles are larger, by their amounts."""
_CHANGES_BACK, _CHANGES_SHOWN = 60, 500

Day = Annotated[str, Query(max_length=10)]


@dataclass(frozen=True, slots=True)
class Tile:
    """A board on the heat map.

    Attributes:
        size: ``l``, ``m`` or ``s``, by its amount among the others.
        heat: From -4, a strong loss, to 4.
    """

    board: BoardHeat
    size: str
    heat: int


@dataclass(frozen=True, slots=True)
class Heat:
    """The heat map of a session.

    Attributes:
        session: Which one; None: no board's bars are held.
        latest: The newest one that can be shown.
    """

    session: date | None
    latest: date | None
    tiles: list[Tile]
    up: int
    down: int


@dataclass(frozen=True, slots=True)
class BoardPage:
    """A board on a day.

    Attributes:
        on: The day; its members are those that the lists of that day show.
        moves: What each did in the session, by symbol.
        changes: Who joined and left lately, newest first.
    """

    code: str
    row: BoardRow
    on: date
    session: date
    members: Members
    moves: dict[str, Mover]
    changes: list[BoardChange]


@dataclass(frozen=True, slots=True)
class Changes:
    """What lists of a window showed to have changed, newest first.

    Attributes:
        known: The first and the last session whose lists are known; None: no list was ever taken.
        more: How many are not shown.
    """

    window: Window
    known: tuple[date, date] | None
    changes: list[BoardChange]
    more: int
    names: dict[str, str]


@router.get("/boards")
async def show(
    request: Request, caller: Reader, kind: BoardKind = BoardKind.INDUSTRY, on: Day = ""
) -> HTMLResponse:
    """The heat map."""
    day = read_day(on, "on")
    services, looks = services_of(request), looks_of(request)
    heat = await services.readers.run(_heat, services.runtime, looks, kind, day)
    return page(request, caller, "boards.html", heat=heat, kind=kind, kinds=list(BoardKind))


@router.get("/boards/changes")
async def show_changes(
    request: Request,
    caller: Reader,
    kind: Annotated[str, Query(pattern="^(concept|industry)?$")] = "",
    start: Annotated[str, Query(alias="from", max_length=10)] = "",
    end: Annotated[str, Query(alias="to", max_length=10)] = "",
) -> HTMLResponse:
    """Joins, leaves, renames, boards that came or went."""
    services, looks = services_of(request), looks_of(request)
    ends = read_day(start, "from"), read_day(end, "to")
    wanted = BoardKind(kind) if kind else None
    found = await services.queries.run(_changes, services.runtime, looks, wanted, ends)
    return page(request, caller, "board_changes.html", found=found, kind=kind)


@router.get("/boards/{code}")
async def show_board(
    request: Request, caller: Reader, code: BoardPath, on: Day = ""
) -> HTMLResponse:
    """A board: its members on a day."""
    services, looks = services_of(request), looks_of(request)
    day, board = read_day(on, "on"), parse_board_code(code)
    found = await services.readers.run(_board, services.runtime, looks, board, day)
    return page(request, caller, "board.html", found=found)


def _latest(looks: Looks, dataset: Dataset) -> date | None:
    """The newest session that any daily series of a dataset is complete up to."""
    _, rows = looks.freshness.get()
    held = [row.held for row in rows if row.held.dataset is dataset]
    return max((each.complete_to for each in held if not each.period.is_intraday), default=None)


def _heat(runtime: Runtime, looks: Looks, kind: BoardKind, day: date | None) -> Heat:
    latest = _latest(looks, Dataset.BOARD_KLINE)
    if latest is None:
        return Heat(None, None, [], 0, 0)
    session = runtime.calendar.session_on_or_before(min(day or latest, latest))
    boards = runtime.catalog.boards(kind, active_only=False)
    found = read_boards(runtime.lake, session, runtime.calendar, boards)
    return Heat(
        session,
        latest,
        _tiles(found),
        sum(1 for each in found if each.change > 0),
        sum(1 for each in found if each.change < 0),
    )


def _tiles(found: Sequence[BoardHeat]) -> list[Tile]:
    """Tiles from the largest gain to the largest loss."""
    by_amount = sorted(found, key=lambda each: -each.amount)
    sizes = {
        each.board: "l" if at < len(found) * _LARGE else "m" if at < len(found) * _MIDDLE else "s"
        for at, each in enumerate(by_amount)
    }
    ordered = sorted(found, key=lambda each: (-each.change, each.board))
    return [Tile(each, sizes[each.board], heat_of(each.change)) for each in ordered]


def heat_of(change: float) -> int:
    """A change as a step of the colours, from -4 to 4."""
    steps = sum(1 for step in _STEPS if abs(change) >= step)
    return steps if change > 0 else -steps


def _board(runtime: Runtime, looks: Looks, code: str, day: date | None) -> BoardPage:
    row = next((b for b in runtime.catalog.boards(active_only=False) if b.code == code), None)
    if row is None:
        raise NothingHeldError(
            f"no board {code} is known: `quantsync boards` lists those that are", {"board": code}
        )
    latest = _latest(looks, Dataset.KLINE)
    chosen = day or row.members_on or looks.freshness.get()[0]
    found = read_members(runtime, code, chosen)
    session = runtime.calendar.session_on_or_before(min(chosen, latest or chosen))
    names = {member.symbol: member.name or "" for member in found.members}
    moves = read_moves(runtime.lake, session, runtime.calendar, names)
    back = runtime.calendar.offset(session, -_CHANGES_BACK)
    mine = [c for c in board_changes(runtime.database, Window(back, chosen)) if c.board == code]
    return BoardPage(
        code, row, chosen, session, found, {move.symbol: move for move in moves}, mine[::-1]
    )


def _changes(
    runtime: Runtime, looks: Looks, kind: BoardKind | None, ends: tuple[date | None, date | None]
) -> Changes:
    settled, _ = looks.freshness.get()
    last = ends[1] or settled
    back = runtime.calendar.offset(runtime.calendar.session_on_or_before(last), -_CHANGES_BACK)
    first = ends[0] or back
    if last < first:
        raise UsageError(f"to={last} is before from={first}: swap them", {"field": "to"})
    window = Window(first, last)
    versions = taxonomies(runtime.database, kind)
    known = None
    if versions:
        known = min(v.first_session for v in versions), max(v.last_session for v in versions)
    found = board_changes(runtime.database, window, kind)[::-1]
    names = {each.code: each.name for each in looks.named.get() if each.name}
    shown = found[:_CHANGES_SHOWN]
    return Changes(window, known, shown, len(found) - len(shown), names)
