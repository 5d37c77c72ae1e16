"""Boards: concepts and industries, and the lists that come with them."""

import re
from enum import StrEnum

import pyarrow as pa

from market.errors import UsageError


class BoardKind(StrEnum):
    """The two kinds of board."""

    CONCEPT = "concept"
    INDUSTRY = "industry"


class InvalidBoardError(UsageError):
    """A text that is no board code."""


_BOARD_CODE = re.compile(r"^BK[0-9]{4,}$")


def parse_board_code(text: str) -> str:
    """Read a board code such as ``BK0477``. A board's name is never a key: boards are renamed.

    Raises:
        InvalidBoardError: Not a board code.
    """
    code = text.strip().upper()
    if not _BOARD_CODE.match(code):
        raise InvalidBoardError(
            f"{text!r} is not a board code: expected BK and digits, such as BK0477 "
            "(`quantsync boards` lists codes and names)",
            {"board": text},
        )
    return code


SYMBOL_LIST_SCHEMA = pa.schema(
    [
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("close", pa.float64(), metadata={"meaning": "latest price, CNY; null: no trade"}),
        pa.field("previous_close", pa.float64(), metadata={"meaning": "CNY, ex-right adjusted"}),
        pa.field("suspended", pa.bool_(), nullable=False),
    ]
)
"""One row per listed A share; key ``symbol``."""

BOARD_LIST_SCHEMA = pa.schema(
    [pa.field("board", pa.string(), nullable=False), pa.field("name", pa.string(), nullable=False)]
)
"""One row per board of one kind; key ``board``."""

BOARD_MEMBERS_SCHEMA = pa.schema(
    [pa.field("symbol", pa.string(), nullable=False), pa.field("name", pa.string(), nullable=False)]
)
"""One row per member of one board; key ``symbol``."""
