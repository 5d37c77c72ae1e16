"""Members of boards out of one list of all symbols that names their boards; when it is believed.

The list gives names, boards are codes: only a name that exactly one board bears can be read. What
it says is held against the pages of some boards and against the members held; where it cannot be
believed the pages win for all boards.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from market.boards import BoardKind

_MOVED_SHARE, _MOVED_ROWS = 0.05, 2
_MANY_SHARE, _MANY_BOARDS = 0.1, 5
_SILENT_SHARE, _SILENT_ROWS = 0.005, 2
_COLUMNS = {BoardKind.CONCEPT: "concepts", BoardKind.INDUSTRY: "industry"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Named:
    """What one list of all symbols says of the boards of a kind.

    Attributes:
        members: Symbols with their names, by the code of every board that can be read.
        shared: Names that more than one board bears, with their codes.
        unknown: Names that no board bears.
        silent: Symbols of which no board is named.
    """

    members: Mapping[str, Mapping[str, str]]
    shared: Mapping[str, Sequence[str]]
    unknown: Sequence[str]
    silent: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is done with the boards that a list could tell of.

    Attributes:
        take: Boards whose members are those named.
        page: Boards whose pages must be fetched.
        notices: What a person should know.
    """

    take: Sequence[str]
    page: Sequence[str]
    notices: Sequence[str]


@dataclass(slots=True)
class Evidence:
    """What a list is held against.

    Attributes:
        boards: The boards it could tell of, by code; none of them new.
        held: Members held of each.
        paged: Members of the boards whose pages came with this list.
    """

    boards: Sequence[str]
    held: Mapping[str, AbstractSet[str]]
    paged: Mapping[str, AbstractSet[str]] = field(default_factory=dict)


def read_names(kind: BoardKind, quotes: pa.Table, boards: Mapping[str, str]) -> Named:
    """Map the names in a list of all symbols to boards.

    Args:
        kind: Whose names: concepts, of which a symbol has many, or industries, of which it has one.
        quotes: ``symbol``, ``name``, ``industry`` and ``concepts``.
        boards: Name by code, as the list of boards has them.
    """
    bearers: dict[str, list[str]] = {}
    for code, name in boards.items():
        bearers.setdefault(name, []).append(code)
    members: dict[str, dict[str, str]] = {}
    unknown: dict[str, None] = {}
    silent: set[str] = set()
    for row in quotes.select(["symbol", "name", _COLUMNS[kind]]).to_pylist():
        said = row[_COLUMNS[kind]]
        names = [said] if isinstance(said, str) else said or []
        if not names:
            silent.add(row["symbol"])
        for name in names:
            codes = bearers.get(name, ())
            if len(codes) == 1:
                members.setdefault(codes[0], {})[row["symbol"]] = row["name"]
            elif not codes:
                unknown[name] = None
    shared = {name: codes for name, codes in bearers.items() if len(codes) > 1}
    return Named(members, shared, tuple(unknown), silent)


def judge_names(named: Named, evidence: Evidence) -> Judgement:
    """Decide which boards have the members that a list names, and which are asked for by page."""
    boards = [board for board in evidence.boards if board not in evidence.paged]
    if not named.members:
        notice = "the list of symbols names no boards: members are fetched page by page"
        return Judgement((), boards, (notice,))
    notices = _about_names(named)
    doubts = [*_disagreements(named, evidence), *_silence(named, evidence)]
    moved = [board for board in boards if _has_moved(named, evidence, board)]
    if len(moved) > max(_MANY_BOARDS, _MANY_SHARE * len(boards)):
        doubts.append(f"{len(moved)} of {len(boards)} boards would change much at once")
    if doubts:
        why = "; ".join(doubts)
        notice = f"the list of symbols is not believed ({why}): the pages win for all boards"
        return Judgement((), boards, (*notices, notice))
    unread = [board for board in boards if board not in named.members]
    if unread:
        notices.append(f"the list of symbols names nobody of {_some(unread)}: fetched page by page")
    if moved:
        notices.append(f"{_some(moved)} changed much: fetched page by page")
    page = sorted({*unread, *moved})
    return Judgement([b for b in boards if b not in page], page, notices)


def _about_names(named: Named) -> list[str]:
    notices = [
        f"the name {name} is borne by {' and '.join(codes)}: fetched page by page"
        for name, codes in named.shared.items()
    ]
    if named.unknown:
        notices.append(f"names that no listed board bears: {_some(named.unknown)}")
    return notices


def _disagreements(named: Named, evidence: Evidence) -> list[str]:
    """How the names differ from pages that came with them."""
    compared = {b: m for b, m in evidence.paged.items() if b in named.members}
    if not compared:
        return ["none of its boards could be held against its pages"]
    doubts = []
    for board, pages in compared.items():
        by_name = named.members[board].keys()
        differ = sorted(by_name ^ pages)
        if differ:
            doubts.append(
                f"of {board} it names {len(by_name)} members where the pages have {len(pages)}: "
                f"{_some(differ)} differ"
            )
    return doubts


def _silence(named: Named, evidence: Evidence) -> list[str]:
    """Symbols that belong to boards and are named without any, as where a page lost its names."""
    every: set[str] = set()
    for board in evidence.boards:
        every |= evidence.held.get(board, frozenset())
    lost = sorted(every & named.silent)
    if len(lost) <= max(_SILENT_ROWS, _SILENT_SHARE * len(every)):
        return []
    return [f"{_some(lost)} belong to boards, and it names none of them"]


def _has_moved(named: Named, evidence: Evidence, board: str) -> bool:
    if board not in named.members:
        return False
    held = evidence.held.get(board, frozenset())
    differ = named.members[board].keys() ^ held
    return len(differ) > max(_MOVED_ROWS, _MOVED_SHARE * len(held))


def _some(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    shown = ", ".join(islice(names, _SHOWN))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
