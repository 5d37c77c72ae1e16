"""Boards: their codes, and the schemas of the lists that come with them."""

import pytest

from market.boards import (
    BOARD_LIST_SCHEMA,
    BOARD_MEMBERS_SCHEMA,
    SYMBOL_LIST_SCHEMA,
    InvalidBoardError,
    parse_board_code,
)


@pytest.mark.parametrize("text", ["BK0477", "bk0477", " BK0477 "])
def test_a_board_code_is_read_in_any_case(text: str) -> None:
    assert parse_board_code(text) == "BK0477"


def test_a_longer_board_code_is_read_too() -> None:
    assert parse_board_code("BK10477") == "BK10477"


@pytest.mark.parametrize("text", ["", "0477", "BK", "BK477", "BK04.7", "酿酒行业", "BK٠٤٧٧"])
def test_a_board_name_or_junk_is_no_board_code(text: str) -> None:
    with pytest.raises(InvalidBoardError, match="is not a board code") as refusal:
        parse_board_code(text)
    assert refusal.value.context == {"board": text}


def test_keys_of_lists_are_never_null() -> None:
    keys = ((SYMBOL_LIST_SCHEMA, "symbol"), (BOARD_LIST_SCHEMA, "board"))
    for schema, key in (*keys, (BOARD_MEMBERS_SCHEMA, "symbol")):
        assert not schema.field(key).nullable
