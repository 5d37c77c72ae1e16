"""How many requests a key may make: a bucket each, filled steadily."""

import math
import time
from dataclasses import dataclass

from web.problems import TooManyError

_MOST_BUCKETS = 10_000
_BURST_S = 10.0
_WRITES_AT_ONCE = 10.0
_REFUSALS_AT_ONCE, _REFUSALS_PER_S = 20.0, 0.5


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """A bucket for each name.

    Args:
        per_s: Tokens a second that come in.
        most: Tokens that a bucket holds.
    """

    def __init__(self, per_s: float, most: float) -> None:
        self._per_s, self._most = per_s, max(1.0, most)
        self._buckets: dict[str, _Bucket] = {}

    def take(self, name: str) -> float:
        """Take a token: 0, or the seconds until there is one."""
        now = time.monotonic()
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._buckets.clear()  # whoever fills it with names must not fill the memory
            bucket = self._buckets[name] = _Bucket(self._most, now)
        bucket.tokens = min(self._most, bucket.tokens + (now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._per_s
        bucket.tokens -= 1
        return 0.0


class Limits:
    """The limits of every key, and of addresses that send keys which open nothing."""

    def __init__(self, reads_per_s: float, writes_per_min: float) -> None:
        self._reads = Buckets(reads_per_s, reads_per_s * _BURST_S)
        self._writes = Buckets(writes_per_min / 60, min(writes_per_min, _WRITES_AT_ONCE))
        self._refusals = Buckets(_REFUSALS_PER_S, _REFUSALS_AT_ONCE)
        self._words = (
            f"{reads_per_s:g} reading requests a second (WEB_READS_PER_S)",
            f"{writes_per_min:g} writing requests a minute (WEB_WRITES_PER_MIN)",
        )

    def take_read(self, name: str) -> None:
        """Count a reading request.

        Raises:
            TooManyError: There were too many.
        """
        self._take(self._reads, name, self._words[0])

    def take_write(self, name: str) -> None:
        """Count a writing request.

        Raises:
            TooManyError: There were too many.
        """
        self._take(self._writes, name, self._words[1])

    def refuse(self, address: str) -> None:
        """Count a key that opens nothing, by the address it came from.

        Raises:
            TooManyError: There were too many.
        """
        self._take(self._refusals, address, "a try every 2 s with keys that open nothing")

    @staticmethod
    def _take(buckets: Buckets, name: str, permitted: str) -> None:
        wait = buckets.take(name)
        if wait:
            shown = math.ceil(wait * 10) / 10  # never 0: that would be no wait
            raise TooManyError(
                f"{name or 'this address'} is permitted {permitted}: wait {shown:.1f} s",
                {"retry_after_s": round(wait + 0.5)},
            )
