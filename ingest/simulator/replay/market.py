"""The replayed market: recorded files, served as they were."""

from bisect import bisect_left
from datetime import date, datetime, time
from pathlib import Path

import pyarrow as pa

from ingest.simulator.cache import BoundedCache
from ingest.simulator.market import BOARD_MARKET, NONE, Cell, QuoteTable, SecId, Trends
from ingest.simulator.periods import FQT, KLT
from ingest.simulator.replay.files import ReplayFileError
from ingest.simulator.replay.lists import (
    dated_files,
    market_of,
    member_table,
    read_boards,
    read_members,
    read_spot,
)
from ingest.simulator.replay.series import RecordedSeries, read_combined, read_series
from market.boards import BoardKind
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import SESSION_CLOSE
from market.symbols import parse_symbol

_REMEMBERED = 400
_DAILY, _NONE = Period.DAILY.value, FQT[0]


class ReplayMarket:
    """A market of recorded files with AKShare's columns.

    ::

        DIR/daily/none/600519.csv  daily/qfq/… daily/hfq/… weekly/… 5m/none/… 1m/none/…
        DIR/daily/none.csv         the same for many symbols, with a column 股票代码
        DIR/spot/2025-12-31.csv    the spot list, served from 15:00 of its day on
        DIR/boards/concept.csv     boards/industry.csv  boards/members/BK0477.csv
        DIR/boards/klines/BK0477.csv   daily bars of a board

    What has no file is answered as the upstream answers for an unknown code. Without a spot list
    one is made of the daily files.

    Args:
        folder: DIR.

    Raises:
        ReplayFileError: There is nothing to serve, or a file cannot be read.
    """

    kind = "replay"

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ReplayFileError(f"there is no folder {folder} to replay")
        self._folder = folder
        self._spots = dated_files(folder / "spot")
        self._series: BoundedCache[Path, RecordedSeries] = BoundedCache(_REMEMBERED)
        self._combined = {
            (period.value, fqt): read_combined(path)
            for period in Period
            for fqt in FQT.values()
            if (path := folder / period.value / f"{fqt}.csv").is_file()
        }
        self._quotes: BoundedCache[datetime, QuoteTable] = BoundedCache(4)
        self.default_now = self._close_of_last_session()

    def describe(self) -> dict[str, object]:
        """Kind and folder."""
        return {"kind": self.kind, "folder": str(self._folder), "symbols": len(self._codes())}

    def check(self, now: datetime) -> None:
        """Any instant will do: before the first file's bars there are none."""

    def kline(self, secid: SecId, klt: int, fqt: int, now: datetime) -> RecordedSeries | None:
        """The recorded kline; None if there is none."""
        if secid.market == BOARD_MARKET:
            path = self._folder / "boards" / "klines" / f"{secid.code}.csv"
            found = self._read(path) if KLT[klt] is Period.DAILY else None
        else:
            found = self._of_symbol(secid, KLT[klt].value, FQT[fqt])
        return found and self._named(found, secid).seen(now)

    def trends(self, secid: SecId, days: int, now: datetime) -> Trends | None:
        """Recorded one-minute rows of the latest sessions; None if there are none."""
        found = self._of_symbol(secid, Period.M1.value, _NONE)
        if found is None:
            return None
        rows = self._named(found, secid).seen(now)
        sessions = sorted({label[:10] for label in rows.labels})[-days:]
        if not sessions:
            return Trends(rows.name, 0.0, [])
        lines = [line for line in rows.cells if line[:10] >= sessions[0]]
        return Trends(rows.name, self._close_before(secid, sessions[-1]), lines)

    def quotes(self, now: datetime) -> QuoteTable:
        """The latest recorded spot list; without any, one made of the daily bars."""
        return self._quotes.get(now, lambda: self._quote_table(now))

    def boards(self, kind: BoardKind, now: datetime) -> QuoteTable:  # noqa: ARG002  (one recording)
        """The recorded boards of a kind."""
        path = self._folder / "boards" / f"{kind.value}.csv"
        return read_boards(path) if path.is_file() else QuoteTable({12: []})

    def board_quotes(self, board: str, now: datetime) -> QuoteTable | None:
        """The recorded members of a board."""
        path = self._folder / "boards" / "members" / f"{board}.csv"
        return member_table(read_members(path), self.quotes(now)) if path.is_file() else None

    def unfinished(self, now: datetime) -> datetime:
        """10:32 of the latest day with a daily bar."""
        labels = [s.labels[-1] for code in self._codes() if (s := self._daily(code, now)).labels]
        day = date.fromisoformat(max(labels)) if labels else now.date()
        return datetime.combine(day, time(10, 32), tzinfo=EXCHANGE_TZ)

    def session_before(self, now: datetime) -> datetime:
        """16:00 of the recorded spot list, or of the day with a daily bar, before the latest."""
        days = {day for day, _ in self._spots}
        days |= {label for code in self._codes() for label in self._daily(code, now).labels[-2:]}
        earlier = sorted(days)[-2:][0] if days else now.date().isoformat()
        return datetime.combine(date.fromisoformat(earlier), time(16), tzinfo=EXCHANGE_TZ)

    def daily(self, symbol: str, now: datetime | None = None) -> pa.Table:
        """The recorded unadjusted daily bars of a symbol."""
        return self._daily(parse_symbol(symbol).code, now or self.default_now).truth()

    def listing(self, on: date) -> tuple[str, ...]:
        """Codes on the list of a day, ascending."""
        quotes = self.quotes(datetime.combine(on, time(16), tzinfo=EXCHANGE_TZ))
        return tuple(sorted(str(code) for code in quotes.columns[12]))

    def members(self, board: str, on: date) -> tuple[str, ...]:  # noqa: ARG002  (one recording)
        """Codes of a board's recorded members, ascending."""
        return tuple(sorted(read_members(self._folder / "boards" / "members" / f"{board}.csv")))

    def _of_symbol(self, secid: SecId, period: str, fqt: str) -> RecordedSeries | None:
        if secid.market != market_of(secid.code):
            return None
        combined = self._combined.get((period, fqt), {})
        if secid.code in combined:
            return combined[secid.code]
        path = self._folder / period / fqt / f"{secid.code}.csv"
        return self._read(path, trends=period == Period.M1.value)

    def _close_before(self, secid: SecId, session: str) -> float:
        """The daily close before a session; 0 where none is recorded."""
        daily = self._of_symbol(secid, _DAILY, _NONE)
        before = bisect_left(daily.labels, session) if daily else 0
        return daily.close_before(before) if daily and before else 0.0

    def _read(self, path: Path, *, trends: bool = False) -> RecordedSeries | None:
        if not path.is_file():
            return None
        return self._series.get(path, lambda: read_series(path, trends=trends))

    def _named(self, series: RecordedSeries, secid: SecId) -> RecordedSeries:
        return RecordedSeries(self._name(secid.code), series.labels, series.cells)

    def _name(self, code: str) -> str:
        """As the latest spot list has it; the code where there is none."""
        if not self._spots:
            return code
        spot = self._quotes.get(self.default_now, lambda: self._quote_table(self.default_now))
        codes = list(spot.columns[12])
        return str(spot.columns[14][codes.index(code)]) if code in codes else code

    def _codes(self) -> list[str]:
        files = (self._folder / _DAILY / _NONE).glob("*.csv")
        return sorted({p.stem for p in files} | set(self._combined.get((_DAILY, _NONE), {})))

    def _daily(self, code: str, now: datetime) -> RecordedSeries:
        found = self._of_symbol(SecId(market_of(code), code), _DAILY, _NONE)
        return (found or RecordedSeries(code)).seen(now)

    def _close_of_last_session(self) -> datetime:
        days = [day for day, _ in self._spots]
        for period in (Period.DAILY, Period.M5, Period.M1):
            for path in sorted((self._folder / period.value / _NONE).glob("*.csv")):
                series = self._read(path, trends=period is Period.M1)
                days += [label[:10] for label in series.labels[-1:]] if series else []
        for every in self._combined.values():
            days += [series.labels[-1][:10] for series in every.values()]
        if not days:
            raise ReplayFileError(
                f"{self._folder} holds nothing to replay: expected e.g. daily/none/600519.csv, "
                "daily/none.csv or spot/2025-12-31.csv"
            )
        return datetime.combine(date.fromisoformat(max(days)), time(16), tzinfo=EXCHANGE_TZ)

    def _quote_table(self, now: datetime) -> QuoteTable:
        local = now.astimezone(EXCHANGE_TZ)
        today = local.date().isoformat()
        is_over = local.time() >= SESSION_CLOSE
        spots = [path for day, path in self._spots if day < today or (day == today and is_over)]
        return read_spot(spots[-1]) if spots else self._made_of_bars(now)

    def _made_of_bars(self, now: datetime) -> QuoteTable:
        every = {
            code: series for code in self._codes() if (series := self._daily(code, now)).labels
        }
        latest = max((series.labels[-1] for series in every.values()), default="")
        rows = [_row(code, series, latest) for code, series in every.items()]
        numbers = (2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17, 18)
        return QuoteTable({number: [row[number] for row in rows] for number in numbers})


def _row(code: str, series: RecordedSeries, latest: str) -> dict[int, Cell]:
    """A quote out of the latest daily bar; no prices if the symbol did not trade that day."""
    row: dict[int, Cell] = {12: code, 13: market_of(code), 14: code}
    last = len(series.labels) - 1
    if series.labels[last] != latest:
        idle = dict.fromkeys((2, 3, 4, 5, 6, 7, 15, 16, 17), NONE)
        return {**row, **idle, 8: 0.0, 18: series.close_before(last + 1)}
    cells = series.cells[last].split(",")
    places = {2: 2, 17: 1, 15: 3, 16: 4, 6: 6, 7: 7, 3: 8, 4: 9, 8: 10}
    quoted: dict[int, Cell] = {number: float(cells[at]) for number, at in places.items()}
    return {**row, **quoted, 5: int(cells[5]), 18: series.close_before(last)}
