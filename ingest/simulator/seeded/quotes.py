"""The list of quotes of a seeded market: one row per listed symbol, half-formed while it trades."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from ingest.simulator.bars import Bars, Floats, Ints
from ingest.simulator.cache import BoundedCache
from ingest.simulator.draws import Bits, bits, key_of, uniform
from ingest.simulator.market import NONE, Cell, QuoteTable
from ingest.simulator.seeded.instrument import Instrument
from ingest.simulator.seeded.intraday import partial, session_bars
from ingest.simulator.seeded.series import turnover_of, two_decimals
from ingest.simulator.seeded.timeline import Moment, Timeline

_LOOKBACK = 60


class Instruments(Protocol):
    """Instruments in a fixed order, made when they are needed."""

    group: str

    def split(self, days: Bars, keys: Bits) -> Bars:
        """The 1m rows of daily bars."""
        ...

    def all(self) -> Iterable[Instrument | None]:
        """Each of them; None for one that never has a bar."""
        ...

    def minute_keys(self) -> Bits:
        """What decides the minutes of each."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All instruments on one session, in the order they were given.

    Attributes:
        trades: Whether the instrument has a bar on the session.
        bars: That bar, whole; zeros where there is none.
        reference: Cents; previous close, ex-right adjusted; last close where there is no bar.
        float_shares: Tradable shares.
        base_60: Cents; close of 60 sessions before.
        base_year: Cents; last close of the year before.
    """

    trades: np.ndarray[tuple[int], np.dtype[np.bool_]]
    bars: Bars
    reference: Ints
    float_shares: Ints
    base_60: Ints
    base_year: Ints

    def take(self, places: Ints) -> Self:
        """The instruments at places."""
        return type(self)(
            self.trades[places],
            self.bars.take(places),
            self.reference[places],
            self.float_shares[places],
            self.base_60[places],
            self.base_year[places],
        )


def snapshot(instruments: Iterable[Instrument | None], ordinal: int, year: int) -> Snapshot:
    """Read all instruments on a session.

    Args:
        instruments: None where there is nothing to read.
        ordinal: The session.
        year: Ordinal of the first session of its year.
    """
    rows = [_read(each, ordinal, year) for each in instruments]
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 11).T
    return Snapshot(table[0].astype(bool), Bars(*table[1:7]), *table[7:])


def _read(instrument: Instrument | None, ordinal: int, year: int) -> tuple[int, ...]:
    seen = instrument.history.seen(ordinal) if instrument else 0
    if instrument is None or seen == 0:
        return (0,) * 11
    history, at = instrument.history, seen - 1
    close = history.bars.close
    trades = int(history.ordinals[at]) == ordinal
    bar = [int(c[at]) for c in history.bars.columns()] if trades else [0] * 6
    reference = history.reference[at] if trades else close[at]
    before_year = history.seen(year - 1) - 1
    base_year = close[before_year] if before_year >= 0 else history.previous
    base_60 = close[at - _LOOKBACK] if at >= _LOOKBACK else history.previous
    return (
        int(trades), *bar, int(reference), int(history.float_shares[at]),
        int(base_60), int(base_year),
    )  # fmt: skip


class SnapshotBook:
    """Snapshots by moment: whole after the close, as far as it has come before.

    Args:
        timeline: Sessions.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._snapshots: BoundedCache[tuple[str, int], Snapshot] = BoundedCache(4)
        self._grids: BoundedCache[tuple[str, int], Bars] = BoundedCache(2)

    def at(self, instruments: Instruments, moment: Moment) -> Snapshot:
        """The instruments at a moment."""
        ordinal = moment.ordinal + 1 if moment.quotes_blank else moment.ordinal
        key = (instruments.group, ordinal)
        whole = self._snapshots.get(
            key, lambda: snapshot(instruments.all(), ordinal, self._year(ordinal))
        )
        if moment.quotes_blank:
            return replace(whole, trades=np.zeros_like(whole.trades))
        if moment.is_over:
            return whole
        trading = np.flatnonzero(whole.trades)
        grid = self._grids.get(key, lambda: _grid(instruments, whole, trading, ordinal))
        so_far = session_bars(partial(grid, moment.rows, moment.fraction))
        columns = []
        for column, part in zip(whole.bars.columns(), so_far.columns(), strict=True):
            merged = column.copy()
            merged[trading] = part
            columns.append(merged)
        return replace(whole, bars=Bars(*columns))

    def _year(self, ordinal: int) -> int:
        first = self._timeline.sessions[ordinal].replace(month=1, day=1)
        return self._timeline.on_or_after(first)


def _grid(instruments: Instruments, whole: Snapshot, trading: Ints, ordinal: int) -> Bars:
    session = np.array([ordinal], dtype=np.int64)
    keys = bits(instruments.minute_keys()[:, None], session)[:, 0]
    return instruments.split(whole.bars.take(trading), keys[trading])


def quote_table(
    snapshot: Snapshot,
    codes: Sequence[str],
    names: Sequence[str],
    markets: Sequence[int],
    salt: int,
) -> QuoteTable:
    """Rows as the upstream's lists have them, by field number.

    Args:
        snapshot: The instruments that the list has.
        codes: Of each.
        names: Of each.
        markets: Eastmoney's market number of each.
        salt: Decides the figures that follow from nothing: ratios, flows.
    """
    fill = _Filler(snapshot)
    bars, reference = snapshot.bars, snapshot.reference
    change = bars.close - reference
    last = np.where(snapshot.trades, bars.close, reference)
    total = snapshot.float_shares + snapshot.float_shares // 3
    keys = np.array([key_of(salt, code) for code in codes], dtype=np.uint64)
    odd = [uniform(keys[:, None], np.array([no]))[:, 0] for no in range(6)]
    by = np.maximum(reference, 1)
    columns: dict[int, Sequence[Cell]] = {
        1: [2] * len(codes),
        2: fill(bars.close / 100),
        3: fill(change / by * 100),
        4: fill(change / 100),
        5: fill.whole(bars.lots),
        6: fill(bars.amount / 100),
        7: fill((bars.high - bars.low) / by * 100),
        8: fill(turnover_of(bars.lots, np.maximum(snapshot.float_shares, 1)), otherwise=0.0),
        9: two_decimals((odd[0] * 140 - 20) * last / 2000),
        10: fill(0.3 + 2 * odd[1]),
        11: fill(odd[2] - 0.5),
        12: list(codes),
        13: list(markets),
        14: list(names),
        15: fill(bars.high / 100),
        16: fill(bars.low / 100),
        17: fill(bars.open / 100),
        18: two_decimals(reference / 100),
        20: (total * last // 100).tolist(),
        21: (snapshot.float_shares * last // 100).tolist(),
        22: fill(odd[3] / 2 - 0.25),
        23: two_decimals(0.4 + odd[4] * last / 900),
        24: two_decimals((last / np.maximum(snapshot.base_60, 1) - 1) * 100),
        25: two_decimals((last / np.maximum(snapshot.base_year, 1) - 1) * 100),
        62: fill.whole(np.rint((odd[5] - 0.5) * bars.amount / 1000).astype(np.int64)),
        115: two_decimals((odd[0] * 120 - 15) * last / 2000),
        152: [2] * len(codes),
    }
    return QuoteTable(columns)


class _Filler:
    """Writes a column, with the sign for "no number" where a symbol did not trade."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._idle = np.flatnonzero(~snapshot.trades).tolist()

    def __call__(self, values: Floats, otherwise: Cell = NONE) -> list[Cell]:
        return self._put(list(two_decimals(values)), otherwise)

    def whole(self, values: Ints) -> list[Cell]:
        return self._put(values.tolist(), NONE)

    def _put(self, cells: list[Cell], otherwise: Cell) -> list[Cell]:
        for at in self._idle:
            cells[at] = otherwise
        return cells
