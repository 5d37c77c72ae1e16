"""Symbols, boards and members."""

from dataclasses import asdict
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from market.boards import BoardKind, InvalidBoardError, parse_board_code
from market.clock import SystemClock
from market.errors import UsageError
from pipeline.member_reading import check_past, read_members
from pipeline.runtime import Runtime
from storage.catalog import Members
from web.api.parameters import LOOK_UP_PROBLEMS, READ_PROBLEMS, BoardPath, Day
from web.keys import Reader
from web.problems import NotHeldError, UnprocessableError

router = APIRouter(prefix="/api/v1", tags=["catalog"])

_USUAL, _MOST = 1000, 10_000


class Symbol(BaseModel):
    """A symbol as the lists show it."""

    symbol: str
    name: str | None
    listed: bool
    first_listed: date | None
    last_listed: date | None
    suspended_on: date | None


class Symbols(BaseModel):
    """Symbols by code."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "symbols": [
                        {
                            "symbol": "600519.SH",
                            "name": "贵州茅台",
                            "listed": True,
                            "first_listed": "2025-01-02",
                            "last_listed": "2025-12-31",
                            "suspended_on": None,
                        }
                    ],
                    "next": None,
                }
            ]
        }
    )

    symbols: list[Symbol]
    next: str | None


class Board(BaseModel):
    """A board as the lists show it."""

    board: str
    kind: str | None
    name: str | None
    active: bool
    members_on: date | None


class Boards(BaseModel):
    """Boards by code."""

    boards: list[Board]


class BoardMember(BaseModel):
    """A member of a board, with its present name."""

    symbol: str
    name: str | None


class BoardMembers(BaseModel):
    """Members of a board on a day."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "board": "BK0477",
                    "on": "2025-12-31",
                    "known_from": "2025-03-03",
                    "known_to": "2025-12-31",
                    "members": [{"symbol": "600519.SH", "name": "贵州茅台"}],
                }
            ]
        }
    )

    board: str
    on: date
    known_from: date
    known_to: date | None
    members: list[BoardMember]


@router.get("/symbols", summary="Symbols that are known", responses=READ_PROBLEMS)
async def symbols(
    request: Request,
    _caller: Reader,
    listed: Annotated[bool, Query(description="Only those that the latest list names.")] = False,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = _USUAL,
    cursor: Annotated[
        str | None,
        Query(pattern=r"^[0-9]{6}\.(SH|SZ|BJ)$", description="`next` of the page before."),
    ] = None,
) -> Symbols:
    """Under their present codes, ascending."""
    services = request.app.state.services
    rows = await services.queries.run(_symbols, services.runtime, listed)
    after = [row for row in rows if cursor is None or row.symbol > cursor]
    page = after[:limit]
    more = page[-1].symbol if len(after) > len(page) else None
    return Symbols(symbols=page, next=more)


def _symbols(runtime: Runtime, listed: bool) -> list[Symbol]:
    rows = runtime.catalog.symbols(listed_only=listed)
    found = [Symbol.model_validate(asdict(row)) for row in rows]
    return sorted(found, key=lambda row: row.symbol)


@router.get("/boards", summary="Boards that are known", responses=READ_PROBLEMS)
async def boards(
    request: Request,
    _caller: Reader,
    kind: BoardKind | None = None,
    active: Annotated[bool, Query(description="Only those that the latest list names.")] = True,
) -> Boards:
    """Concepts and industries, by code."""
    services = request.app.state.services
    found = await services.queries.run(_boards, services.runtime, kind, active)
    return Boards(boards=found)


def _boards(runtime: Runtime, kind: BoardKind | None, active: bool) -> list[Board]:
    rows = runtime.catalog.boards(kind, active_only=active)
    return [
        Board(board=r.code, kind=r.kind, name=r.name, active=r.active, members_on=r.members_on)
        for r in rows
    ]


@router.get(
    "/boards/{code}/members", summary="Members of a board on a day", responses=LOOK_UP_PROBLEMS
)
async def members(
    request: Request,
    _caller: Reader,
    code: BoardPath,
    on: Annotated[Day | None, Query(description="Default: today.", examples=["2025-12-31"])] = None,
) -> BoardMembers:
    """As the lists showed them; a day before the first list, or after today, is not known."""
    if on is not None:
        _check_past(on)
    services = request.app.state.services
    board = parse_board_code(code)
    found: Members = await services.queries.run(_members, services.runtime, board, on)
    assert found.known_from is not None
    return BoardMembers(
        board=board,
        on=on or SystemClock().now().date(),
        known_from=found.known_from,
        known_to=found.known_to,
        members=[BoardMember(symbol=m.symbol, name=m.name) for m in found.members],
    )


def _check_past(on: date) -> None:
    try:
        check_past(on, f"on={on}")
    except UsageError as error:
        raise UnprocessableError(error.message, {"field": "query.on"}) from None


def _members(runtime: Runtime, board: str, on: date | None) -> Members:
    try:
        return read_members(runtime, board, on)
    except InvalidBoardError as error:
        raise NotHeldError(error.message, error.context) from None
