"""Numbers as a report writes them never say more than is so."""

import pytest

from admin_tasks.report_wording import duration, money, percent


@pytest.mark.parametrize(
    ("share", "written"),
    [(1.0, "100 %"), (2999 / 3000, "99.9 %"), (0.5, "50.0 %"), (0.0, "0.0 %"), (None, "–")],
)
def test_a_share_that_is_not_all_is_never_rounded_up_to_all(
    share: float | None, written: str
) -> None:
    assert percent(share) == written


@pytest.mark.parametrize(
    ("cny", "written"),
    [
        (1.237e12, "1.24 trillion CNY"),
        (812.04e9, "812.0 billion CNY"),
        (35.12e6, "35.1 million CNY"),
        (950.0, "950 CNY"),
    ],
)
def test_amounts_are_written_with_the_word_for_their_size(cny: float, written: str) -> None:
    assert money(cny) == written


def test_a_duration_is_written_in_the_unit_that_fits_it() -> None:
    assert [duration(s) for s in (4.61, 720, 12_240)] == ["4.6 s", "12 min", "3.4 h"]
