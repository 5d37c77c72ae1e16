"""Eastmoney's numbers for periods and adjustments."""

from market.periods import Period

KLT = {
    1: Period.M1,
    5: Period.M5,
    15: Period.M15,
    30: Period.M30,
    60: Period.M60,
    101: Period.DAILY,
    102: Period.WEEKLY,
    103: Period.MONTHLY,
}
"""Periods by ``klt``."""

FQT = {0: "none", 1: "qfq", 2: "hfq"}
"""Adjustments by ``fqt``."""
