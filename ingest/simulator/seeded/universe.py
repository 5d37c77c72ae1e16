"""Which symbols a seeded market has, and what kind of stock each of them is.

Every market begins with the same cast: five well-known symbols, then one of each oddity a real
market holds. The rest is drawn from the seed, in real proportions. A market of 50 symbols is the
beginning of one of 5,500.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from ingest.simulator.draws import chance, key_of, whole
from ingest.simulator.seeded import names
from ingest.simulator.seeded.timeline import Timeline
from market.errors import UsageError

MOST_SYMBOLS = 6_000
BSE_MIGRATION = date(2025, 10, 9)
"""The day on which the Beijing exchange moved its 43/83/87 codes to 920."""


class Tier(StrEnum):
    """Where a stock is listed, which decides its codes and its daily price limit."""

    SH_MAIN = "sh_main"
    STAR = "star"
    SZ_MAIN = "sz_main"
    CHINEXT = "chinext"
    BJ = "bj"


@dataclass(frozen=True, slots=True)
class ExRightPlan:
    """A dividend or bonus, planned before prices are known.

    Attributes:
        ordinal: Session on which the stock goes ex.
        cash_yield: Cash as a part of the price before; 0 for none.
        bonus: New shares for every ten held.
    """

    ordinal: int
    cash_yield: float
    bonus: int


@dataclass(frozen=True, slots=True)
class BusyDay:
    """A session on which more happens than the seed draws.

    Attributes:
        session: When.
        ex_rights: Symbols that go ex-right on it.
        listings: Symbols that are listed on it.
    """

    session: date
    ex_rights: int
    listings: int


@dataclass(frozen=True, slots=True)
class Stock:
    """What is fixed about one symbol.

    Attributes:
        code: Six digits; of a migrated BJ stock the new code.
        name: Without the ``N`` of a listing day.
        listed: First session.
        delisted: First day on which it is no longer listed.
        old_code: The BJ code before the migration.
        is_st: Under special treatment: limits of 5 %.
        price: Cents, about the level at the end of 2025.
        float_shares: Tradable shares at the end of 2025.
        volatility: Daily deviation of returns.
        turnover: Usual percent of the float traded a session.
        pauses: Suspensions, as ordinals of the first and the last session without a bar.
        ex_rights: By session.
    """

    code: str
    tier: Tier
    name: str
    listed: date
    delisted: date | None
    old_code: str | None
    is_st: bool
    price: int
    float_shares: int
    volatility: float
    turnover: float
    pauses: tuple[tuple[int, int], ...]
    ex_rights: tuple[ExRightPlan, ...]

    def code_on(self, day: date) -> str:
        """The code under which it trades on a day."""
        return self.old_code if self.old_code and day < BSE_MIGRATION else self.code

    def is_listed(self, day: date) -> bool:
        """Whether it is on the exchange's list on a day."""
        return self.listed <= day and (self.delisted is None or day < self.delisted)


@dataclass(frozen=True, slots=True)
class _Role:
    """What the cast fixes; what is left out is drawn from the seed."""

    code: str
    tier: Tier
    name: str | None = None
    listed: date = date(2010, 6, 18)
    delisted: date | None = None
    old_code: str | None = None
    is_st: bool = False
    price: int | None = None
    float_shares: int | None = None
    pause: tuple[date, date] | None = None
    ex_right: tuple[date, float, int] | None = None
    is_plain: bool = False


_CAST = (
    _Role(
        "600519", Tier.SH_MAIN, "贵州茅台", date(2001, 8, 27), price=140_000,
        float_shares=1_252_270_215, ex_right=(date(2025, 12, 19), 0.017, 0), is_plain=True,
    ),
    _Role(
        "000001", Tier.SZ_MAIN, "平安银行", date(1991, 4, 3), price=1_140,
        float_shares=19_405_600_653, ex_right=(date(2025, 10, 15), 0.02, 0), is_plain=True,
    ),
    _Role(
        "300750", Tier.CHINEXT, "宁德时代", date(2018, 6, 11), price=36_800,
        float_shares=3_900_000_000, is_plain=True,
    ),
    _Role(
        "688981", Tier.STAR, "中芯国际", date(2020, 7, 16), price=12_300,
        float_shares=1_990_000_000, is_plain=True,
    ),
    _Role(
        "920002", Tier.BJ, "万达轴承", date(2024, 5, 30), price=9_800,
        float_shares=9_400_000, is_plain=True,
    ),
    _Role(
        "000002", Tier.SZ_MAIN, "万  科Ａ", date(1991, 1, 29), price=465,
        float_shares=9_716_000_000, is_plain=True,
    ),
    _Role("603101", Tier.SH_MAIN, pause=(date(2025, 12, 22), date(2026, 1, 14))),
    _Role("002120", Tier.SZ_MAIN, ex_right=(date(2025, 12, 30), 0.004, 3)),
    _Role("920077", Tier.BJ, listed=date(2021, 11, 15), old_code="836077"),
    _Role("600179", Tier.SH_MAIN, is_st=True, price=312),
    _Role("301581", Tier.CHINEXT, listed=date(2025, 12, 31)),
    _Role("000976", Tier.SZ_MAIN, is_st=True, price=155, delisted=date(2025, 11, 24)),
    _Role("688805", Tier.STAR, listed=date(2026, 1, 12)),
)  # fmt: skip

_PREFIXES = {
    Tier.SH_MAIN: ("600", "601", "603", "605"),
    Tier.STAR: ("688",),
    Tier.SZ_MAIN: ("000", "001", "002", "003"),
    Tier.CHINEXT: ("300", "301"),
    Tier.BJ: ("920",),
}
_TIERS_BY_HUNDRED = (
    (31, Tier.SH_MAIN), (42, Tier.STAR), (69, Tier.SZ_MAIN), (95, Tier.CHINEXT), (100, Tier.BJ),
)  # fmt: skip
_FIRST_LISTING = {
    Tier.SH_MAIN: date(1993, 1, 5),
    Tier.STAR: date(2019, 7, 22),
    Tier.SZ_MAIN: date(1993, 1, 5),
    Tier.CHINEXT: date(2009, 10, 30),
    Tier.BJ: date(2021, 11, 15),
}
_LAST_LISTING = date(2026, 6, 30)
_OLD_BJ_PREFIXES = ("430", "831", "833", "836", "870", "873")


class Universe:
    """All symbols a seeded market ever has.

    Args:
        seed: Decides everything that the cast does not.
        size: Number of symbols, those not yet and no longer listed included.
        timeline: Sessions of the exchange.
        busy: A session of more events than usual.
    """

    def __init__(
        self, seed: int, size: int, timeline: Timeline, busy: BusyDay | None = None
    ) -> None:
        if not 1 <= size <= MOST_SYMBOLS:
            raise UsageError(f"a market has 1 to {MOST_SYMBOLS:,} symbols, not {size}")
        self._seed = seed
        self._timeline = timeline
        self.codes = _codes(seed, size)
        self._place = {code: at for at, code in enumerate(self.codes)}
        stocks = tuple(self._stock(at) for at in range(size))
        self.stocks = stocks if busy is None else _made_busy(stocks, busy, timeline)
        self._by_old_code = {s.old_code: at for at, s in enumerate(self.stocks) if s.old_code}

    def place(self, code: str, day: date) -> int | None:
        """The place of the stock that answers to a code on a day."""
        at = self._place.get(code, self._by_old_code.get(code))
        if at is None or self.stocks[at].code_on(day) != code or self.stocks[at].listed > day:
            return None
        return at

    def place_of(self, code: str) -> int:
        """The place of a stock by its present or its old code.

        Raises:
            KeyError: The market has no such code.
        """
        return self._place[code] if code in self._place else self._by_old_code[code]

    def _stock(self, at: int) -> Stock:
        code = self.codes[at]
        role = _CAST[at] if at < len(_CAST) else None
        draw = _Draw(self._seed, code)
        tier = _tier_of(code)
        listed = role.listed if role else _listing_day(draw, tier)
        is_st = role.is_st if role else draw("st") < 0.03  # noqa: PLR2004  (as in the market)
        plain = names.symbol_name(at)
        name = role.name if role and role.name else ("*ST" + plain[:2] if is_st else plain)
        return Stock(
            code=code,
            tier=tier,
            name=name,
            listed=listed,
            delisted=role.delisted if role else _delisting_day(draw, listed),
            old_code=role.old_code if role else _old_code(draw, tier, code, listed),
            is_st=is_st,
            price=(role and role.price) or _price(draw, is_st=is_st),
            float_shares=(role and role.float_shares) or int(2e7 * 150 ** draw("float")),
            volatility=0.013 + 0.017 * draw("volatility"),
            turnover=0.4 * 9 ** draw("turnover"),
            pauses=self._pauses(draw, role),
            ex_rights=self._ex_rights(draw, role, listed),
        )

    def _pauses(self, draw: "_Draw", role: _Role | None) -> tuple[tuple[int, int], ...]:
        if role is not None:
            if role.pause is None:
                return ()
            first, last = map(self._timeline.on_or_after, role.pause)
            return ((first, last),)
        pauses = []
        for no in range(int(3.2 * draw("pauses") ** 2)):
            begins = self._timeline.first + int(
                draw("pause at", no) * (self._timeline.last - self._timeline.first)
            )
            pauses.append((begins, begins + int(2 + 58 * draw("pause for", no) ** 3)))
        if draw("paused now") < 0.01:  # noqa: PLR2004  (one in a hundred is suspended today)
            today = self._timeline.on_or_after(date(2025, 12, 31))
            pauses.append((today - whole(30, draw.key, "since"), today + 3))
        return tuple(sorted(pauses))

    def _ex_rights(
        self, draw: "_Draw", role: _Role | None, listed: date
    ) -> tuple[ExRightPlan, ...]:
        plans = []
        for year in range(
            max(self._timeline.sessions[self._timeline.first].year, listed.year), 2027
        ):
            if draw("pays", year) < 0.7:  # noqa: PLR2004  (seven of ten pay in a year)
                day = date(year, 5, 6) + timedelta(days=whole(80, draw.key, "ex", year))
                bonus = whole(5, draw.key, "bonus", year) + 1 if draw("gives", year) < 0.09 else 0  # noqa: PLR2004
                cash = 0.003 + 0.03 * draw("cash", year) ** 2
                plans.append(ExRightPlan(self._timeline.on_or_after(day), cash, bonus))
        if role and role.ex_right:
            day, cash, bonus = role.ex_right
            plans.append(ExRightPlan(self._timeline.on_or_after(day), cash, bonus))
        return tuple(sorted(plans, key=lambda plan: plan.ordinal))


def _made_busy(stocks: tuple[Stock, ...], busy: BusyDay, timeline: Timeline) -> tuple[Stock, ...]:
    """The same symbols, some of which go ex-right or are listed on a session."""
    ordinal = timeline.on_or_after(busy.session)
    before = timeline.sessions[ordinal - 60]
    plain = [
        at
        for at, stock in enumerate(stocks)
        if at >= len(_CAST)
        and stock.listed < before
        and stock.delisted is None
        and not any(first - 2 <= ordinal <= last + 2 for first, last in stock.pauses)
    ]
    wanted = busy.ex_rights + busy.listings
    if len(plain) < wanted:
        raise UsageError(f"the market has {len(plain)} plain symbols for {wanted} events")
    changed = list(stocks)
    for no, at in enumerate(plain[:wanted]):
        if no < busy.listings:
            changed[at] = replace(stocks[at], listed=busy.session, old_code=None)
            continue
        plan = ExRightPlan(ordinal, 0.004 + 0.001 * (no % 20), 3 if no % 5 == 0 else 0)
        plans = sorted((*stocks[at].ex_rights, plan), key=lambda each: each.ordinal)
        changed[at] = replace(stocks[at], ex_rights=tuple(plans))
    return tuple(changed)


class _Draw:
    """Numbers in [0, 1) for one symbol, by what they are for."""

    def __init__(self, seed: int, code: str) -> None:
        self.key = key_of(seed, code)

    def __call__(self, *what: object) -> float:
        return chance(self.key, *what)


def _codes(seed: int, size: int) -> tuple[str, ...]:
    codes = [role.code for role in _CAST[:size]]
    taken = {role.code for role in _CAST}
    at = len(codes)
    while len(codes) < size:
        code = _code(seed, at)
        at += 1
        if code not in taken:
            taken.add(code)
            codes.append(code)
    return tuple(codes)


def _code(seed: int, at: int) -> str:
    hundred = whole(100, seed, "tier", at)
    tier = next(tier for below, tier in _TIERS_BY_HUNDRED if hundred < below)
    prefixes = _PREFIXES[tier]
    return (
        f"{prefixes[whole(len(prefixes), seed, 'prefix', at)]}{whole(999, seed, 'no', at) + 1:03}"
    )


@lru_cache(maxsize=64)
def _tier_by_prefix(prefix: str) -> Tier:
    return next(tier for tier, prefixes in _PREFIXES.items() if prefix in prefixes)


def _tier_of(code: str) -> Tier:
    return _tier_by_prefix(code[:3])


def _listing_day(draw: _Draw, tier: Tier) -> date:
    first = _FIRST_LISTING[tier]
    span = (_LAST_LISTING - first).days
    return first + timedelta(days=int(span * draw("listed")))


def _delisting_day(draw: _Draw, listed: date) -> date | None:
    if draw("delists") >= 0.015:  # noqa: PLR2004  (about eighty of 5,500)
        return None
    day = date(2019, 1, 1) + timedelta(days=whole(2_700, draw.key, "delisted"))
    return day if day > listed + timedelta(days=400) else None


def _old_code(draw: _Draw, tier: Tier, code: str, listed: date) -> str | None:
    if tier is not Tier.BJ or listed >= date(2024, 7, 1):
        return None
    return _OLD_BJ_PREFIXES[whole(len(_OLD_BJ_PREFIXES), draw.key, "old")] + code[3:]


def _price(draw: _Draw, *, is_st: bool) -> int:
    return int(130 + 320 * draw("price")) if is_st else int(320 * 40 ** draw("price"))
