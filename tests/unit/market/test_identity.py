"""Names compared, and codes matched by the exchange's rule."""

import csv
import os
from pathlib import Path

import pytest

from market.identity import Renumbering, find_renumberings, matching_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("万  科Ａ", "万科A"),
        ("N蘅东光", "蘅东光"),
        ("C蘅东光", "蘅东光"),
        ("XD博隆技术", "博隆技术"),
        ("XR万科Ａ", "DR万 科A"),
        ("*ST海钦", "ST海钦"),
        ("ST新亚", "新亚"),
        ("S*ST佳通", "佳通"),
        ("退市锦港", "*ST锦港"),
        ("人乐退", "*ST人乐"),
        ("百利天恒-U", "百利天恒"),
        ("Ｎ新股", "新股"),
    ],
)
def test_marks_widths_and_spaces_do_not_make_another_name(one: str, other: str) -> None:
    assert matching_name(one) == matching_name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("庚星股份", "*ST海钦"),
        ("万科A", "万科B"),
        ("TCL科技", "科技"),
        ("NOVA", "OVA"),
        ("交通银行", "XD交通银"),  # cut for the mark: alike, and no proof
        ("卧龙地产", "卧龙新能"),
    ],
)
def test_another_name_stays_another_name(one: str, other: str) -> None:
    assert matching_name(one) != matching_name(other)


@pytest.mark.parametrize("name", ["ST", "XD", "退", "N", "-U", "退市"])
def test_a_name_of_marks_alone_is_not_lost(name: str) -> None:
    """Nothing must match an empty name."""
    assert matching_name(name)


def test_a_code_keeps_its_digits_unless_they_are_taken() -> None:
    """The rule is checked, not only the prefix."""
    gone: dict[str, str | None] = {"836961.BJ": "西磁科技", "839171.BJ": "甲"}
    appeared = {"920061.BJ": "西磁科技", "920171.BJ": "甲"}

    taken = list(find_renumberings(gone, appeared, {*appeared, "920961.BJ"}))
    free = list(find_renumberings(gone, appeared, set(appeared)))

    assert taken == [
        Renumbering("836961.BJ", "920061.BJ"),
        Renumbering("839171.BJ", "920171.BJ"),
    ]
    assert free[0].doubt == "by the exchange's rule it would be 920961.BJ, which is free"
    assert free[1].doubt is None


def test_a_code_without_a_known_name_is_suggested_by_its_digits_alone() -> None:
    """It was only ever fetched, on no list: a person decides."""
    (pair,) = find_renumberings({"836077.BJ": None}, {"920077.BJ": "吉林碳谷"}, {"920077.BJ"})
    assert pair.doubt == "836077.BJ has no known name, 920077.BJ is 吉林碳谷"


def test_a_new_code_that_another_name_claims_is_not_suggested_by_digits() -> None:
    """836077 vanished without a successor; 920077 is somebody else's new code."""
    gone: dict[str, str | None] = {"836077.BJ": "甲", "837001.BJ": "乙"}
    pairs = list(find_renumberings(gone, {"920077.BJ": "乙"}, {"920077.BJ", "920001.BJ"}))
    assert [(pair.old, pair.new, pair.doubt) for pair in pairs] == [
        ("837001.BJ", "920077.BJ", None)
    ]


def test_of_268_real_changes_of_name_53_are_marks_alone() -> None:
    """Each of them names the same company; real renames stay renames."""
    folder = os.environ.get("TEST_MARKET_DATA")
    if folder is None:
        pytest.skip("TEST_MARKET_DATA names no folder of recorded market data")
    path = Path(folder) / "lists/name_changes_20250228_vs_20251225.csv"
    with path.open(encoding="utf-8-sig", newline="") as text:
        rows = list(csv.DictReader(text))
    same = [
        row["代码"]
        for row in rows
        if matching_name(row["名称_20250228"]) == matching_name(row["名称_20251225"])
    ]
    assert (len(rows), len(same)) == (268, 53)
    assert {"300313", "600804", "688506", "002251"} <= set(same)
    assert not {"600173", "601211", "603501"} & set(same)
