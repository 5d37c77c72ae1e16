"""A source that is asked first, and the reference that is asked where it meets schema drift."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from typing import TypeVar

import pyarrow as pa

from ingest.remarks import remark
from ingest.source import Bars, FoundExRights, SchemaDriftError, Source
from market.adjustments import Adjustment
from market.boards import BoardKind
from market.periods import Period
from market.sessions import Window
from market.symbols import Symbol

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_IN_A_ROW = 3


class Preferred:
    """The :class:`ingest.source.Source` that asks ``first``, and ``reference`` if that drifts.

    Only drift fails over: a ban or a timeout would meet the reference too, on the same upstream and
    budget. After three drifts in a row of one kind of call, that kind goes to the reference at once
    for a while, so that a change upstream does not cost every symbol two requests.

    Args:
        first: Asked first; its clock and name are this source's.
        reference: Makes the source that is asked where ``first`` cannot read the answer; AKShare
            and pandas are a second and 80 MiB that most processes never need.
        rest_s: How long a kind of call that keeps drifting is not tried on ``first``.
    """

    def __init__(
        self, first: Source, reference: Callable[[], Source], *, rest_s: float = 600.0
    ) -> None:
        self.name = first.name
        self._first = first
        self._reference = cache(reference)
        self._rest_s = rest_s
        self._lock = threading.Lock()
        self._drifts: dict[str, int] = {}
        self._resting: dict[str, float] = {}

    def now(self) -> datetime:
        """Exchange time."""
        return self._first.now()

    def fetch_klines(
        self, symbol: Symbol, period: Period, window: Window, adjustment: Adjustment
    ) -> Bars:
        """Bars of one symbol within a closed window of sessions."""
        return self._asked(
            f"{period} klines", lambda s: s.fetch_klines(symbol, period, window, adjustment)
        )

    def fetch_ex_rights(
        self,
        symbol: Symbol,
        session: date,
        reference: float | None = None,
        held: pa.Table | None = None,
    ) -> FoundExRights:
        """All ex-rights of one symbol up to the latest session that has begun."""
        return self._asked(
            "ex-rights", lambda s: s.fetch_ex_rights(symbol, session, reference, held)
        )

    def fetch_quotes(self) -> pa.Table:
        """Quotes of all listed A shares; without instants and boards if the reference gave them."""
        return self._asked("quotes", lambda s: s.fetch_quotes())

    def fetch_board_list(self, kind: BoardKind) -> pa.Table:
        """All boards of a kind."""
        return self._asked("board lists", lambda s: s.fetch_board_list(kind))

    def fetch_board_members(self, kind: BoardKind, board: str) -> pa.Table:
        """Members of a board."""
        return self._asked("board members", lambda s: s.fetch_board_members(kind, board))

    def fetch_board_klines(self, kind: BoardKind, board: str, window: Window) -> Bars:
        """Daily bars of a board within a closed window of sessions."""
        return self._asked("board klines", lambda s: s.fetch_board_klines(kind, board, window))

    def _asked(self, what: str, call: Callable[[Source], _T]) -> _T:
        if self._rests(what):
            remark(f"{what} were read through AKShare: the direct reading of them keeps drifting")
            return call(self._reference())
        try:
            result = call(self._first)
        except SchemaDriftError as drift:
            self._note(what)
            log.warning("%s are read through AKShare instead: %s", what, drift.message)
            remark(f"read through AKShare, because the direct reading drifted: {drift.message}")
            return call(self._reference())
        with self._lock:
            self._drifts.pop(what, None)
        return result

    def _rests(self, what: str) -> bool:
        with self._lock:
            return time.monotonic() < self._resting.get(what, 0.0)

    def _note(self, what: str) -> None:
        with self._lock:
            self._drifts[what] = self._drifts.get(what, 0) + 1
            if self._drifts[what] >= _IN_A_ROW:
                self._resting[what] = time.monotonic() + self._rest_s
