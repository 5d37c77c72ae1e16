"""How a budget answers to an upstream that loses its patience: the words and the numbers.

The rules stand in ``throttling.lua``, which decides for all processes at once. A sign of throttling
slows the pace down to a part; time in which answers come makes it faster again, evenly. Several
signs with no answer between them are a ban: nothing is sent but one probe at a time, at intervals
that grow, until one is answered; then one request at a time, until a few in a row were answered.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What came of one request, for the budget that permitted it."""

    OK = "ok"
    """An answer."""
    SIGN = "sign"
    """A throttling sign: closed connection, 403/418/429/436/456/618, captcha, empty success."""
    FAILED = "failed"
    """A server error; several in a row are a sign."""
    SILENT = "silent"
    """No connection, or no answer in time: says nothing of throttling."""


class PaceState(StrEnum):
    """How an upstream bears us."""

    OPEN = "open"
    BANNED = "banned"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BanPolicy:
    """When a domain counts as banned, and how it is found out that it no longer is.

    Attributes:
        signs: So many signs with no answer between them are a ban.
        failures: So many server errors in a row are a sign.
        floor: The slowest pace, as a share of the permitted rate.
        cut: What a sign leaves of the pace.
        recovery_s: Time in which a steady stream of answers takes the pace from 0 to 1.
        probe_s: Longest wait for the first probe of a ban; it may come a fifth sooner, by chance.
        probe_longest_s: What that wait grows to, doubling with each probe that is not answered.
        recovered_by: So many answers in a row after a ban, one request at a time, end it.
        half_open_pace: The pace of these, at least.
        right_s: How long a probe is waited for before another one may be sent: its process may
            have died. Longer than any request takes.
    """

    signs: int = 3
    failures: int = 3
    floor: float = 0.1
    cut: float = 0.5
    recovery_s: float = 600.0
    probe_s: float = 60.0
    probe_longest_s: float = 900.0
    recovered_by: int = 5
    half_open_pace: float = 0.25
    right_s: float = 40.0

    def arguments(self) -> list[float | int]:
        """As ``throttling.lua`` takes them."""
        return [
            self.signs,
            self.failures,
            self.floor,
            self.cut,
            math.ceil(self.recovery_s * 1e6),
            math.ceil(self.probe_s * 1e6),
            math.ceil(max(self.probe_s, self.probe_longest_s) * 1e6),
            self.recovered_by,
            max(self.floor, self.half_open_pace),
        ]
