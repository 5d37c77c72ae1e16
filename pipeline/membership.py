"""Members of boards: by the pages of every board, or by one sweep that names each symbol's boards.

A sweep costs a request per hundred symbols, pages one or more per board. A board is known by its
pages before a sweep may tell of it; in every run the pages of a few boards, in turn, are fetched
beside the sweep and held against it when both are committed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ingest.remarks import remark
from ingest.source import (
    EmptyBoardError,
    MalformedBodyError,
    Outcome,
    SchemaDriftError,
    Source,
    TruncatedListError,
)
from market.boards import BOARD_MEMBERS_SCHEMA, BoardKind
from market.quotes import QUOTES_SCHEMA
from pipeline.named_members import Evidence, judge_names, read_names
from pipeline.proof import empty_board
from pipeline.queues import CONCEPT_QUEUE, INDUSTRY_QUEUE
from pipeline.runtime import Runtime
from scheduling.planner import BatchSizing, plan_members
from storage.catalog import Catalog
from storage.coverage import read_coverage
from storage.killpoints import KillPoint, reach
from storage.run_records import BatchPlan, Item, OutcomeRow, RunStatus, WavePlan, Work

_T = TypeVar("_T")
_Retried = Callable[[Callable[[], _T]], _T]

_QUEUES = {BoardKind.CONCEPT: CONCEPT_QUEUE, BoardKind.INDUSTRY: INDUSTRY_QUEUE}
_CHECKED_A_RUN = 3
_NEW_A_RUN = 20
_PAGE = 100
_SWEPT = pa.schema([QUOTES_SCHEMA.field(n) for n in ("symbol", "name", "industry", "concepts")])
_LIES = (TruncatedListError, SchemaDriftError, MalformedBodyError)


def plan_memberships(
    runtime: Runtime,
    kind: BoardKind,
    stale: Sequence[str],
    sizing: BatchSizing,
) -> list[WavePlan]:
    """Waves that fetch the members of boards, with as few requests as will do.

    Args:
        runtime: The stores.
        kind: Of the boards.
        stale: The boards, all of the kind whose members are not held of this session.
        sizing: Of batches and waves.
    """
    queue = _QUEUES[kind]
    by_page = plan_members(boards=stale, kind=kind, queue=queue, sizing=sizing)
    settings = runtime.settings
    if settings.members_from == "pages" or settings.eastmoney_client == "akshare":
        return by_page
    known = known_by_pages(runtime, kind, stale)
    new = [board for board in stale if board not in known]
    turn = sorted(known, key=lambda board: (known[board][0], board))[:_CHECKED_A_RUN]
    # Without a list of symbols yet, those that boards have named are nearly all there are.
    symbols = runtime.catalog.symbols() or runtime.catalog.symbols(listed_only=False)
    saved = sum(_pages(known[board][1]) for board in known.keys() - set(turn))
    if _pages(len(symbols)) >= saved:
        return by_page
    sweep = BatchPlan(Work.MEMBER_SWEEP, (Item(f"{kind.value}_members"),), board_kind=kind)
    beside = plan_members(boards=[*turn, *new[:_NEW_A_RUN]], kind=kind, queue=queue, sizing=sizing)
    batches = (sweep, *(batch for wave in beside for batch in wave.batches))
    rest = plan_members(boards=new[_NEW_A_RUN:], kind=kind, queue=queue, sizing=sizing)
    return [WavePlan(queue, batches), *rest]


def known_by_pages(
    runtime: Runtime, kind: BoardKind, boards: Sequence[str]
) -> dict[str, tuple[date, int]]:
    """Boards that have members and were once read by page: when last, and how many are held."""
    paged = read_coverage(runtime.database, Work.BOARD_MEMBERS.value, "session")
    held = runtime.catalog.members_by_board(kind)
    return {
        board: (paged[board].ranges[-1].end, len(held[board]))
        for board in boards
        if board in paged and board in held
    }


def fresh_members(runtime: Runtime, kind: BoardKind, session: date) -> set[str]:
    """Boards whose members were already taken in a session, by page or by a sweep."""
    paged = read_coverage(runtime.database, Work.BOARD_MEMBERS.value, "session")
    fresh = {
        board
        for board, held in paged.items()
        if any(r.start <= session <= r.end for r in held.ranges)
    }
    return fresh | {b.code for b in runtime.catalog.boards(kind) if b.members_on == session}


def fetch_member_pages(
    catalog: Catalog,
    source: Source,
    plan: BatchPlan,
    item: Item,
    session: date,
    retried: "_Retried[pa.Table]",
) -> tuple[pa.Table | None, OutcomeRow]:
    """The members of one board with its code, by its pages; and the outcome.

    Raises:
        SourceError: Typed by cause.
    """
    assert plan.board_kind is not None
    kind = plan.board_kind
    try:
        members = retried(lambda: source.fetch_board_members(kind, item.subject))
    except EmptyBoardError as error:
        return None, empty_board(catalog, kind, item, error, session)
    board = pa.array([item.subject] * members.num_rows, pa.string())
    outcome = OutcomeRow(
        item.subject,
        Outcome.OK.value,
        rows=members.num_rows,
        covered_from=session,
        covered_to=session,
    )
    return members.append_column("board", board), outcome


def fetch_sweep(
    source: Source, item: Item, retried: "_Retried[pa.Table]"
) -> tuple[pa.Table, OutcomeRow]:
    """All symbols with the names of their boards, and the outcome.

    A list that cannot be read tells of no board, and the pages are fetched instead.

    Raises:
        SourceError: Nothing was answered, so pages would not be either.
    """
    try:
        quotes = retried(source.fetch_quotes).select(_SWEPT.names)
    except _LIES as error:
        remark(f"{error.message}; members are fetched page by page")
        return _SWEPT.empty_table(), OutcomeRow(item.subject, Outcome.NOT_SERVED.value)
    return quotes, OutcomeRow(item.subject, Outcome.OK.value, rows=quotes.num_rows)


def commit_sweep(
    runtime: Runtime,
    status: RunStatus,
    staged: Sequence[tuple[BatchPlan, Mapping[str, Any]]],
    sizing: BatchSizing,
    alive: Callable[[], None],
) -> tuple[list[WavePlan], list[str]]:
    """Take the members that a wave's sweep names where they are believed.

    Call it after the pages of the same wave were written.

    Args:
        runtime: The stores.
        status: The run.
        staged: Batches of the wave with what they staged.
        sizing: Of batches and waves.
        alive: Called between two boards.

    Returns:
        Waves for the boards whose pages are needed, and what is to be said.
    """
    waves: list[WavePlan] = []
    notices: list[str] = []
    for plan, manifest in staged:
        if plan.work is Work.MEMBER_SWEEP and plan.work.value in manifest["tables"]:
            more, said = _take(runtime, status, plan, manifest, staged, sizing, alive)
            waves += more
            notices += said
    return waves, notices


def _take(
    runtime: Runtime,
    status: RunStatus,
    plan: BatchPlan,
    manifest: Mapping[str, Any],
    staged: Sequence[tuple[BatchPlan, Mapping[str, Any]]],
    sizing: BatchSizing,
    alive: Callable[[], None],
) -> tuple[list[WavePlan], list[str]]:
    assert plan.board_kind is not None
    kind, catalog = plan.board_kind, runtime.catalog
    session = date.fromisoformat(manifest["session"])
    boards = {row.code: row.name or "" for row in catalog.boards(kind)}
    paged = _paged(runtime, kind, staged)
    told = known_by_pages(runtime, kind, sorted(boards))
    open_boards = sorted(told.keys() - fresh_members(runtime, kind, session) - paged.keys())
    named = read_names(kind, runtime.staging.read(manifest, plan.work.value), boards)
    evidence = Evidence(open_boards, catalog.members_by_board(kind), paged)
    judged = judge_names(named, evidence)
    page, notices = list(judged.page), list(judged.notices)
    for board in judged.take:
        alive()
        members = named.members[board]
        table = pa.table(
            {"symbol": list(members), "name": list(members.values())},
            schema=BOARD_MEMBERS_SCHEMA,
        )
        change = catalog.replace_members(board, table, session, status.run_id)
        reach(KillPoint.MEMBERS_TAKEN, board)
        notices += change.notices
        if not change.accepted:
            page.append(board)
            notices.append(f"{board} is fetched page by page: {change.reason}")
    waves = plan_members(boards=sorted(page), kind=kind, queue=_QUEUES[kind], sizing=sizing)
    return waves, notices


def _paged(
    runtime: Runtime, kind: BoardKind, staged: Sequence[tuple[BatchPlan, Mapping[str, Any]]]
) -> dict[str, set[str]]:
    """Members of boards whose pages came in the same wave."""
    name = Work.BOARD_MEMBERS.value
    found: dict[str, set[str]] = {}
    for plan, manifest in staged:
        if (
            plan.work is Work.BOARD_MEMBERS
            and plan.board_kind is kind
            and name in manifest["tables"]
        ):
            table = runtime.staging.read(manifest, name)
            for item in plan.items:
                members = table.filter(pc.equal(table["board"], item.subject))
                if members.num_rows:
                    found[item.subject] = set(members["symbol"].to_pylist())
    return found


def _pages(rows: int) -> int:
    return max(1, -(-rows // _PAGE))
