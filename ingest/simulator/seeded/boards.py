"""Boards of a seeded market: which there are, who belongs to them when, and their klines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt

from ingest.simulator.bars import SHARES_PER_LOT, Bars, Ints
from ingest.simulator.cache import BoundedCache
from ingest.simulator.draws import Bits, chance, key_of, uniform, whole
from ingest.simulator.market import NONE, Cell
from ingest.simulator.seeded import names
from ingest.simulator.seeded.daily import History, history_of
from ingest.simulator.seeded.instrument import Instrument
from ingest.simulator.seeded.intraday import split_index
from ingest.simulator.seeded.timeline import Timeline
from ingest.simulator.seeded.universe import MOST_SYMBOLS, Stock, Tier, Universe
from market.boards import BoardKind

_REMEMBERED = 600
_FIRST_INDUSTRY = ("BK0477", "酿酒行业")
_FIRST_CONCEPTS = (("BK0818", "可燃冰"), ("BK0596", "融资融券"))
_LARGE_CONCEPT = "BK0596"
_LARGE_SHARE = 0.66
_SURE_MEMBERS = 3
_ALWAYS, _NEVER = -1, 1 << 40

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Board:
    """A concept or an industry.

    Attributes:
        code: ``BK`` and four digits.
        since: Ordinal of its first session.
    """

    kind: BoardKind
    code: str
    name: str
    since: int


class BoardBook:
    """All boards of a seeded market.

    Args:
        seed: Of the market.
        universe: Its symbols.
        timeline: Sessions.
    """

    def __init__(self, seed: int, universe: Universe, timeline: Timeline) -> None:
        self._seed = seed
        self._timeline = timeline
        self._universe = universe
        self._keys = np.array([key_of(seed, c, "boards") for c in universe.codes], dtype=np.uint64)
        self.boards = _boards(seed, len(universe.codes), timeline)
        self.by_code = {board.code: board for board in self.boards}
        self._industries = [b.code for b in self.boards if b.kind is BoardKind.INDUSTRY]
        self._instruments: BoundedCache[str, Instrument] = BoundedCache(_REMEMBERED)
        self._names: BoundedCache[int, tuple[list[str], list[str]]] = BoundedCache(3)

    def of_kind(self, kind: BoardKind) -> "BoardList":
        """The boards of a kind, in a fixed order."""
        return BoardList(kind, self)

    def member_flags(self, code: str, ordinal: int) -> Flags:
        """Which symbols, by place, belong to a board on a session."""
        board = self.by_code[code]
        if board.kind is BoardKind.INDUSTRY:
            flags: Flags = self._industry_of(ordinal) == self._industries.index(code)
            return flags
        return self._concept_flags(board, ordinal)

    def told(self, places: Sequence[int], ordinal: int) -> dict[int, Sequence[Cell]]:
        """What the list of symbols says of their boards on a session, by the upstream's fields.

        Args:
            places: The symbols.
            ordinal: The session.
        """
        industries, concepts = self._names.get(ordinal, lambda: self._names_on(ordinal))
        return {
            100: [industries[place] for place in places],
            103: [concepts[place] or NONE for place in places],
        }

    def instrument(self, code: str) -> Instrument:
        """The index of a board."""
        return self._instruments.get(code, lambda: self._made(self.by_code[code]))

    def _industry_of(self, ordinal: int) -> Ints:
        """Each symbol has one industry; a few change it once."""
        count = len(self._industries)
        key = self._keys[:, None]
        draw = uniform(key, np.arange(4, dtype=np.int64))
        first = (draw[:, 0] * count).astype(np.int64)
        second = (draw[:, 1] * count).astype(np.int64)
        first[0] = second[0] = 0  # 600519 makes liquor
        span = self._timeline.last - self._timeline.first
        moved = self._timeline.first + (draw[:, 3] * span).astype(np.int64)
        result: Ints = np.where((draw[:, 2] < 0.05) & (moved <= ordinal), second, first)  # noqa: PLR2004
        return result

    def _concept_flags(self, board: Board, ordinal: int) -> Flags:
        key = self._keys ^ np.uint64(key_of(self._seed, board.code))
        draw = uniform(key[:, None], np.arange(5, dtype=np.int64))
        share = 0.004 + 0.09 * chance(self._seed, board.code, "share") ** 3
        if board.code == _LARGE_CONCEPT:
            share = _LARGE_SHARE
        span = self._timeline.last - self._timeline.first
        joined = self._timeline.first + (draw[:, 2] * span).astype(np.int64)
        joined = np.where(draw[:, 1] < 0.6, _ALWAYS, joined)  # noqa: PLR2004
        left = np.maximum(joined, self._timeline.first) + 20 + (draw[:, 4] * span).astype(np.int64)
        left = np.where(draw[:, 3] < 0.75, _NEVER, left)  # noqa: PLR2004
        flags: Flags = (draw[:, 0] < share) & (joined <= ordinal) & (ordinal < left)
        for no in range(_SURE_MEMBERS):
            flags[whole(len(flags), self._seed, board.code, no)] = True
        flags[whole(min(len(flags), 5), self._seed, board.code)] = True
        return flags

    def _names_on(self, ordinal: int) -> tuple[list[str], list[str]]:
        """Each symbol's industry, and its concepts between commas."""
        names: list[list[str]] = [[] for _ in self._universe.codes]
        for board in self.boards:
            if board.kind is BoardKind.CONCEPT and board.since <= ordinal:
                for place in np.flatnonzero(self._concept_flags(board, ordinal)).tolist():
                    names[place].append(board.name)
        industries = [self.by_code[code].name for code in self._industries]
        own = [industries[at] for at in self._industry_of(ordinal).tolist()]
        return own, [",".join(each) for each in names]

    def _made(self, board: Board) -> Instrument:
        key = key_of(self._seed, board.code, "minutes")
        history = _index_history(board, self._seed, self._timeline)
        return Instrument(board.name, history, key, split_index, self._timeline)


class BoardList:
    """The boards of one kind as instruments; see ``Instruments``."""

    split = staticmethod(split_index)

    def __init__(self, kind: BoardKind, book: BoardBook) -> None:
        self.group = kind.value
        self.boards = tuple(b for b in book.boards if b.kind is kind)
        self._book = book
        self._seed_keys = [book.instrument(b.code).minute_key for b in self.boards]

    def all(self) -> Iterable[Instrument]:
        """Each board's index."""
        return (self._book.instrument(board.code) for board in self.boards)

    def minute_keys(self) -> Bits:
        """What decides the minutes of each."""
        return np.array(self._seed_keys, dtype=np.uint64)


def _boards(seed: int, symbols: int, timeline: Timeline) -> tuple[Board, ...]:
    """More boards in a larger market: 20 to 86 industries, 40 to 460 concepts."""
    part = min(symbols / 5_500, 1.0)
    industries = [_FIRST_INDUSTRY]
    industries += [
        (f"BK{400 + at if at < 77 else 401 + at:04}", names.industry_name(at))  # noqa: PLR2004
        for at in range(round(19 + part * (names.INDUSTRY_NAMES - 19)))
    ]
    concepts = list(_FIRST_CONCEPTS)
    concepts += [
        (f"BK{700 + at if at < 118 else 701 + at:04}", names.concept_name(at))  # noqa: PLR2004
        for at in range(round(38 + part * 420))
    ]
    return (
        *(Board(BoardKind.INDUSTRY, code, name, timeline.first) for code, name in industries),
        *(
            Board(BoardKind.CONCEPT, code, name, _since(seed, at, timeline))
            for at, (code, name) in enumerate(concepts)
        ),
    )


def _since(seed: int, at: int, timeline: Timeline) -> int:
    """Most concepts are as old as the market; one in twenty is newer."""
    if at % 20 != 19:  # noqa: PLR2004
        return timeline.first
    day = date(2025, 12, 30) if at == 19 else date(2020 + whole(6, seed, "since", at), 3, 2)  # noqa: PLR2004
    return max(timeline.first, timeline.on_or_after(day))


def _index_history(board: Board, seed: int, timeline: Timeline) -> History:
    """A board's bars: points like a price, amounts as if shares cost about 12 CNY."""
    stock = Stock(
        code=board.code, tier=Tier.SH_MAIN, name=board.name, listed=date(1991, 1, 2),
        delisted=None, old_code=None, is_st=False,
        price=60_000 + whole(150_000, seed, board.code, "level"),
        float_shares=2_000_000_000 + 1_000_000 * whole(MOST_SYMBOLS, seed, board.code, "float"),
        volatility=0.011, turnover=1.4, pauses=(), ex_rights=(),
    )  # fmt: skip
    history = history_of(stock, seed, timeline)
    begins = int(np.searchsorted(history.ordinals, board.since))
    keep = slice(begins, None)
    bars = history.bars.take(keep)
    price = 1_100 + 200 * uniform(key_of(seed, board.code, "amount"), history.ordinals[keep])
    amount = np.rint(bars.lots * SHARES_PER_LOT * price).astype(np.int64)
    return replace(
        history,
        ordinals=history.ordinals[keep],
        bars=Bars(bars.open, bars.high, bars.low, bars.close, bars.lots, amount),
        reference=history.reference[keep],
        previous=int(history.reference[begins]) if begins else history.previous,
        float_shares=history.float_shares[keep],
    )
