"""The symbols of a seeded market: their instruments, and which of them are listed on a day."""

from collections.abc import Iterable
from datetime import date

import numpy as np

from ingest.simulator.cache import BoundedCache
from ingest.simulator.draws import Bits, key_of
from ingest.simulator.seeded.daily import history_of
from ingest.simulator.seeded.instrument import Instrument
from ingest.simulator.seeded.intraday import split
from ingest.simulator.seeded.timeline import Timeline
from ingest.simulator.seeded.universe import BusyDay, Tier, Universe

_REMEMBERED = 400
"""Histories kept: about 200 kB each."""


class StockBook:
    """All symbols, by their place in the universe.

    Args:
        seed: Of the market.
        size: Number of symbols.
        timeline: Sessions.
        busy: A session of more events than usual.
    """

    group = "stocks"
    split = staticmethod(split)

    def __init__(
        self, seed: int, size: int, timeline: Timeline, busy: BusyDay | None = None
    ) -> None:
        self.universe = Universe(seed, size, timeline, busy)
        self._seed = seed
        self._timeline = timeline
        self._instruments: BoundedCache[int, Instrument] = BoundedCache(_REMEMBERED)
        self._keys = np.array(
            [key_of(seed, code, "minutes") for code in self.universe.codes], dtype=np.uint64
        )

    def instrument(self, place: int) -> Instrument:
        """The symbol at a place."""
        return self._instruments.get(place, lambda: self._made(place))

    def all(self) -> Iterable[Instrument]:
        """Every symbol; a large market's are not remembered."""
        places = range(len(self.universe.stocks))
        return map(self.instrument if len(places) <= _REMEMBERED else self._made, places)

    def minute_keys(self) -> Bits:
        """What decides the minutes of each."""
        return self._keys

    def listed(self, day: date) -> list[int]:
        """Places of the symbols on the exchange's list."""
        return [at for at, stock in enumerate(self.universe.stocks) if stock.is_listed(day)]

    def code(self, place: int, day: date) -> str:
        """The code of a symbol on a day."""
        return self.universe.stocks[place].code_on(day)

    def name(self, place: int, day: date) -> str:
        """The name of a symbol on a day: ``N`` stands before it on its first."""
        stock = self.universe.stocks[place]
        return f"N{stock.name}" if stock.listed == day else stock.name

    def market(self, place: int) -> int:
        """Eastmoney's market number."""
        return int(self.universe.stocks[place].tier in (Tier.SH_MAIN, Tier.STAR))

    def _made(self, place: int) -> Instrument:
        stock = self.universe.stocks[place]
        history = history_of(stock, self._seed, self._timeline)
        key = int(self._keys[place])
        return Instrument(stock.name, history, key, split, self._timeline)
