"""Recorded CSV files with AKShare's columns, read with errors that name file and line."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.simulator.market import NONE, Cell
from market.errors import UsageError

CODE_COLUMN = "股票代码"
_CODE_DIGITS = 6


class ReplayFileError(UsageError):
    """A recorded file that is missing, or holds what cannot be served."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file.

    Attributes:
        path: The file.
        line: Counted from 1, the header included.
        cells: Texts by column.
    """

    path: Path
    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """The text of a column, which must not be empty."""
        value = self.cells[column]
        if not value:
            raise self.error(f"{column} is empty")
        return value

    def number(self, column: str) -> float:
        """The number in a column."""
        return self._number(column, self.text(column))

    def cell(self, column: str) -> Cell:
        """The number in a column as a list has it; the sign for "no number" where it is empty."""
        text = self.cells.get(column, "")
        if text in ("", NONE, "nan", "NaN"):
            return NONE
        number = self._number(column, text)
        return int(number) if number.is_integer() and column in _WHOLE else number

    def code(self, column: str) -> str:
        """A symbol's code; leading zeros that a spreadsheet dropped are put back."""
        code = self.text(column).zfill(_CODE_DIGITS)
        if not code.isdigit() or len(code) != _CODE_DIGITS:
            raise self.error(f"{column} {code!r} is not a code of six digits")
        return code

    def error(self, what: str) -> ReplayFileError:
        """An error that names this line."""
        return ReplayFileError(f"{self.path}, line {self.line}: {what}", {"file": str(self.path)})

    def _number(self, column: str, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise self.error(f"{column} {text!r} is not a number") from None


_WHOLE = frozenset({"成交量", "总市值", "流通市值", "上涨家数", "下跌家数"})


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The lines of a file.

    Args:
        path: UTF-8, with or without a byte order mark; the first line names the columns.
        columns: Columns that must be there.

    Raises:
        ReplayFileError: A column is missing, or a line has more or fewer cells than the header.
    """
    try:
        yield from _read_rows(path, columns)
    except UnicodeDecodeError as error:
        raise ReplayFileError(
            f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8", {"file": str(path)}
        ) from None


def _read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        missing = [column for column in columns if column not in header]
        if missing:
            raise ReplayFileError(
                f"{path}, line 1: column {', '.join(missing)} is missing; AKShare's columns are "
                f"expected: {', '.join(columns)}",
                {"file": str(path)},
            )
        for cells in reader:
            if len(cells) != len(header):
                raise ReplayFileError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells where the header has "
                    f"{len(header)}",
                    {"file": str(path)},
                )
            yield Row(path, reader.line_num, dict(zip(header, cells, strict=True)))
