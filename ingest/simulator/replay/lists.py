"""Recorded lists: symbols, boards and their members, by the upstream's field numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ingest.simulator.market import BOARD_MARKET, NONE, Cell, QuoteTable
from ingest.simulator.replay.files import ReplayFileError, read_rows

SPOT_FIELDS = {
    "最新价": 2, "涨跌幅": 3, "涨跌额": 4, "成交量": 5, "成交额": 6, "振幅": 7, "换手率": 8,
    "市盈率-动态": 9, "量比": 10, "5分钟涨跌": 11, "最高": 15, "最低": 16, "今开": 17, "昨收": 18,
    "总市值": 20, "流通市值": 21, "涨速": 22, "市净率": 23, "60日涨跌幅": 24, "年初至今涨跌幅": 25,
}  # fmt: skip
"""AKShare's columns of the spot list and the fields they come from."""

_BOARD_FIELDS = {
    "最新价": 2, "涨跌幅": 3, "涨跌额": 4, "换手率": 8, "总市值": 20, "上涨家数": 104,
    "下跌家数": 105, "领涨股票-涨跌幅": 136,
}  # fmt: skip
_LEADER = ("领涨股票", 128)


def market_of(code: str) -> int:
    """Eastmoney's market number of an A share."""
    return int(code.startswith("6"))


def read_spot(path: Path) -> QuoteTable:
    """A recorded spot list.

    Raises:
        ReplayFileError: A line cannot be served.
    """
    columns: dict[int, list[Cell]] = {f: [] for f in (12, 13, 14, *SPOT_FIELDS.values())}
    for row in read_rows(path, ("代码", "名称")):
        code = row.code("代码")
        columns[12].append(code)
        columns[13].append(market_of(code))
        columns[14].append(row.text("名称"))
        for name, number in SPOT_FIELDS.items():
            columns[number].append(row.cell(name))
    return QuoteTable(columns)


def read_boards(path: Path) -> QuoteTable:
    """A recorded list of boards.

    Raises:
        ReplayFileError: A line cannot be served.
    """
    columns: dict[int, list[Cell]] = {f: [] for f in (12, 13, 14, 128, *_BOARD_FIELDS.values())}
    for row in read_rows(path, ("板块名称", "板块代码")):
        columns[12].append(row.text("板块代码"))
        columns[13].append(BOARD_MARKET)
        columns[14].append(row.text("板块名称"))
        columns[_LEADER[1]].append(row.cells.get(_LEADER[0]) or NONE)
        for name, number in _BOARD_FIELDS.items():
            columns[number].append(row.cell(name))
    return QuoteTable(columns)


def read_members(path: Path) -> dict[str, str]:
    """Names of a board's members by code.

    Raises:
        ReplayFileError: A line cannot be served, or repeats a code.
    """
    members: dict[str, str] = {}
    for row in read_rows(path, ("代码", "名称")):
        code = row.code("代码")
        if code in members:
            raise row.error(f"{code} is a member already")
        members[code] = row.text("名称")
    return members


def member_table(members: Mapping[str, str], quotes: QuoteTable) -> QuoteTable:
    """A board's members with their quotes; a member that is not quoted has names only."""
    place = {str(code): at for at, code in enumerate(quotes.columns[12])}
    columns: dict[int, Sequence[Cell]] = {
        number: [column[place[code]] if code in place else NONE for code in members]
        for number, column in quotes.columns.items()
    }
    columns[12] = list(members)
    columns[13] = [market_of(code) for code in members]
    columns[14] = list(members.values())
    return QuoteTable(columns)


def dated_files(folder: Path) -> list[tuple[str, Path]]:
    """Files named by a day, ascending.

    Raises:
        ReplayFileError: A file's name is no day.
    """
    found = []
    for path in sorted(folder.glob("*.csv")):
        digits = path.stem.replace("-", "")
        if len(digits) != 8 or not digits.isdigit():  # noqa: PLR2004
            raise ReplayFileError(f"{path} should be named by its day, such as 2025-12-31.csv")
        found.append((f"{digits[:4]}-{digits[4:6]}-{digits[6:]}", path))
    return found
