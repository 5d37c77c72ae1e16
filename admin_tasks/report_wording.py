"""The words of a report: what the stores call it, and numbers as people write them."""

from datetime import date

from market.bars import Dataset

DATASETS = {Dataset.KLINE: "stocks", Dataset.BOARD_KLINE: "boards"}
WORKS = {
    "symbol_list": "list of symbols",
    "kline": "stock bars",
    "board_list": "list of boards",
    "board_members": "board members",
    "member_sweep": "board members",
    "board_kline": "board bars",
    "ex_right": "ex-rights",
}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 run``, ``2,000 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def weekday(day: date) -> str:
    """A day of the week in English, whatever the machine's language."""
    return WEEKDAYS[day.weekday()]


def span(since: date, until: date) -> str:
    """``2025-12-30``, or ``2025-12-01 to 2025-12-30``."""
    return f"{since}" if since == until else f"{since} to {until}"


def money(cny: float) -> str:
    """An amount in CNY: ``1.24 trillion``, ``812.0 billion``, ``35.1 million``."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if abs(cny) >= size:
            digits = 2 if size == 1e12 else 1  # noqa: PLR2004  (the market's amount, to a percent)
            return f"{cny / size:,.{digits}f} {word} CNY"
    return f"{cny:,.0f} CNY"


def duration(seconds: float) -> str:
    """``4.6 s``, ``12 min``, ``3.4 h``."""
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004


def percent(share: float | None) -> str:
    """A share of one that never rounds up to all: ``99.9 %`` of 2,999 of 3,000."""
    if share is None:
        return "–"
    if share >= 1:
        return "100 %"
    return f"{min(share, 0.999):.1%}".replace("%", " %")
