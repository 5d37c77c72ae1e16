"""Symbols and boards are found by what people remember of them."""

import pytest

from pipeline.symbol_search import Named, find_named

KNOWN = [
    Named("000001.SZ", "平安银行", "stock", active=True),
    Named("600519.SH", "贵州茅台", "stock", active=True),
    Named("920077.BJ", "吉林碳谷", "stock", active=True, former=("836077.BJ",)),
    Named("BK0477", "白酒", "industry", active=True),
    Named("600001.SH", "邯郸钢铁", "stock", active=False),
]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("600519", "600519.SH"), ("sh600519", "600519.SH"), ("600519.sh", "600519.SH"),
        ("茅台", "600519.SH"), ("贵州", "600519.SH"), ("836077", "920077.BJ"), ("bk04", "BK0477"),
        ("白酒", "BK0477"), (" 000001 ", "000001.SZ"), ("519", "600519.SH"),
    ],
)  # fmt: skip
def test_a_part_of_a_code_or_a_name_finds_it(text: str, code: str) -> None:
    assert find_named(KNOWN, text, 10)[0].code == code


def test_what_begins_with_the_text_comes_before_what_only_has_it() -> None:
    found = [each.code for each in find_named(KNOWN, "0001", 10)]
    assert found == ["000001.SZ", "600001.SH"]
    assert [each.code for each in find_named(KNOWN, "6000", 10)] == ["600001.SH"]


def test_nothing_is_found_by_what_nothing_is_called_and_all_by_nothing() -> None:
    assert find_named(KNOWN, "xyz", 10) == []
    assert find_named(KNOWN, "", 3) == KNOWN[:3]
