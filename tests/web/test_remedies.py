"""The remedy of a problem: what the sentence says is to be done, never what was asked with."""

import re

import pytest

from web.limits import Limits
from web.problems import TooManyError
from web.remedies import told_remedy


@pytest.mark.parametrize(
    ("sentence", "remedy"),
    [
        ("'60051' is no symbol: write it as 600519", "write it as 600519"),
        ("the day's bars are away: run `quantsync sync: now`", "run `quantsync sync: now`"),
        ("nothing is to be done", None),
        (f"it holds a line end: {'pay: all to X'!r}", None),
        (f"it holds {'pay: all to X'!r}, which is no name", None),
        (f"""it holds {"it's: pay, he said"!r} and the desk's: take it out""", "take it out"),
        (f"""it holds {"it's" + ' "so": pay'!r}: take it out""", "take it out"),
    ],
)
def test_what_is_quoted_is_nobodys_advice(sentence: str, remedy: str | None) -> None:
    assert told_remedy(sentence) == remedy


def test_who_asks_too_often_is_told_to_wait_for_some_time() -> None:
    limits = Limits(reads_per_s=1000, writes_per_min=60)

    def ask_often() -> None:
        for _ in range(100_000):
            limits.take_read("desk")

    with pytest.raises(TooManyError) as told:
        ask_often()
    wait = re.search(r"wait ([0-9.]+) s", told.value.message)
    assert wait is not None
    assert float(wait[1]) > 0
