"""Recorded klines and one-minute trends."""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from pathlib import Path

import pyarrow as pa

from ingest.simulator.market import TRUTH_SCHEMA
from ingest.simulator.replay.files import CODE_COLUMN, Row, read_rows
from ingest.simulator.seeded.timeline import AUCTION_AT
from market.clock import EXCHANGE_TZ
from market.sessions import SESSION_CLOSE

_TIME_COLUMNS = ("日期", "日期时间", "时间")
_PRICES = ("开盘", "收盘", "最高", "最低")
_KLINE = (*_PRICES, "成交量", "成交额", "振幅", "涨跌幅", "涨跌额", "换手率")
_TRENDS = (*_PRICES, "成交量", "成交额", "均价")
_LOTS, _AMOUNT = 5, 6
_DAY = 10
_MINUTES_A_DAY = 240


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """Bars of one file, or of one symbol in a file of many.

    Attributes:
        name: Of the symbol or board.
        labels: One per bar, ascending.
        cells: Each bar as f51 … joined by commas.
    """

    name: str
    labels: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)

    def lines(self, first: int, end: int) -> list[str]:
        """The bars of a range of places."""
        return self.cells[first:end]

    def close_before(self, place: int) -> float:
        """The close of the bar before a place; before the first, as its change says."""
        if place > 0:
            return float(self.cells[place - 1].split(",")[2])
        cells = self.cells[0].split(",") if self.cells else []
        return round(float(cells[2]) - float(cells[9]), 2) if len(cells) > 9 else 0.0  # noqa: PLR2004

    def seen(self, now: datetime) -> "RecordedSeries":
        """The bars so far: whole ones, and today's daily bar in proportion to the time passed."""
        local = now.astimezone(EXCHANGE_TZ)
        today = local.date().isoformat()
        if self.labels and len(self.labels[0]) > _DAY:
            until = bisect_right(self.labels, f"{today} {local:%H:%M}")
            return replace(self, labels=self.labels[:until], cells=self.cells[:until])
        until = bisect_right(self.labels, today)
        labels, cells = self.labels[:until], self.cells[:until]
        if labels and labels[-1] == today and local.time() < SESSION_CLOSE:
            so_far = _so_far(cells.pop(), local.time())
            cells += so_far
            labels = labels[: len(cells)]
        return replace(self, labels=labels, cells=cells)

    def truth(self) -> pa.Table:
        """The bars as a table, for comparison; a column that was not recorded is null."""
        rows = [line.split(",") for line in self.cells]
        turnover = [float(row[10]) if len(row) > 10 else None for row in rows]  # noqa: PLR2004
        columns = [
            [date.fromisoformat(label[:_DAY]) for label in self.labels],
            self.labels,
            *([float(row[at]) for row in rows] for at in (1, 3, 4, 2)),
            [int(row[_LOTS]) for row in rows],
            [float(row[_AMOUNT]) for row in rows],
            turnover,
        ]
        return pa.table(
            [pa.array(c, type=f.type) for c, f in zip(columns, TRUTH_SCHEMA, strict=True)],
            schema=TRUTH_SCHEMA,
        )


def read_series(path: Path, *, trends: bool = False) -> RecordedSeries:
    """The kline of a file that holds one symbol, or with ``trends`` its one-minute rows.

    Raises:
        ReplayFileError: A line cannot be served.
    """
    series = RecordedSeries("")
    for row in read_rows(path, _TRENDS if trends else _KLINE):
        _append(series, row, _TRENDS if trends else _KLINE)
    return series


def read_combined(path: Path) -> dict[str, RecordedSeries]:
    """The klines of a file that holds many symbols, by code.

    Raises:
        ReplayFileError: A line cannot be served.
    """
    every: dict[str, RecordedSeries] = {}
    for row in read_rows(path, (CODE_COLUMN, *_KLINE)):
        _append(every.setdefault(row.code(CODE_COLUMN), RecordedSeries("")), row, _KLINE)
    return every


def _append(series: RecordedSeries, row: Row, columns: tuple[str, ...]) -> None:
    label = _label(row)
    if series.labels and label <= series.labels[-1]:
        raise row.error(f"{label} does not come after {series.labels[-1]}: sort the file by time")
    cells = [_number_text(row, column) for column in columns]
    series.labels.append(label)
    series.cells.append(",".join((label, *cells)))


def _label(row: Row) -> str:
    column = next((name for name in _TIME_COLUMNS if name in row.cells), None)
    if column is None:
        raise row.error(
            f"there is no column of time: one of {', '.join(_TIME_COLUMNS)} is expected"
        )
    text = row.text(column)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise row.error(f"{column} {text!r} is not a date or a time") from None
    return text[:_DAY] if len(text) == _DAY else f"{moment:%Y-%m-%d %H:%M}"


def _number_text(row: Row, column: str) -> str:
    """A number as the upstream writes it, no digit of the file's lost."""
    value = row.number(column)
    if column == "成交量":
        if not value.is_integer():
            raise row.error(f"{column} {value} is not a whole number of lots")
        return str(int(value))
    short = f"{value:.2f}"
    return short if float(short) == value else repr(value)


def _so_far(line: str, at: time) -> list[str]:
    """Today's bar before the close: none before the auction, then volumes in proportion."""
    if at < AUCTION_AT:
        return []
    cells = line.split(",")
    opened = 9 * 60 + 30
    minutes = at.hour * 60 + at.minute - opened
    traded = min(minutes, 120) if minutes < 210 else minutes - 90  # noqa: PLR2004  (lunch)
    share = max(traded, 1) / _MINUTES_A_DAY
    cells[_LOTS] = str(int(int(cells[_LOTS]) * share))
    cells[_AMOUNT] = f"{float(cells[_AMOUNT]) * share:.2f}"
    return [",".join(cells)]
