"""Eastmoney's lists, ``/api/qt/clist/get``: symbols, boards, members, in pages of at most 100.

AKShare renames columns by position, so the order of keys is part of the contract: ascending by
field number, except that ``f140`` and ``f141`` are added right after ``f128``.
"""

import math
import re
from datetime import datetime

from ingest.simulator.eastmoney import (
    RC_NO_SUCH_CODE,
    Body,
    Query,
    Spoiling,
    envelope,
    field_numbers,
    number,
)
from ingest.simulator.market import Cell, Market, QuoteTable
from market.boards import BoardKind

PAGE_ROWS = 100
_CODE = 12
_LEADER, _LEADER_EXTRA = 128, (140, 141)
_BOARD_KINDS = {"m:90 t:3": BoardKind.CONCEPT, "m:90 t:2": BoardKind.INDUSTRY}
_MEMBERS = re.compile(r"^b:(BK\d+)")
_WHOLE_MARKET = frozenset({"m:0 t:6", "m:0 t:80", "m:0 t:81", "m:1 t:2", "m:1 t:23"})
_SELECTOR = re.compile(r"^m:\d+ t:\d+")


def clist(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Body:
    """One page of a list; ``data`` is null past its end."""
    table = _table(market, query.get("fs", ""), now)
    if table is None:
        return envelope(None, rc=RC_NO_SUCH_CODE, rt=6, full=1)
    if spoiling.list_rows is not None:
        table = table.select(range(min(spoiling.list_rows, len(table))))
    by = (field_numbers(query.get("fid", "")) or [_CODE])[0]
    places = table.order(by, descending=query.get("po", "1") == "1")
    if spoiling.order_spread and by != _CODE:
        places = _wandering(places, spoiling)
    size = min(max(number(query, "pz", PAGE_ROWS), 1), PAGE_ROWS)
    begins = (max(number(query, "pn", 1), 1) - 1) * size
    page = places[begins : begins + size]
    if not page:
        return envelope(None, rc=RC_NO_SUCH_CODE, rt=6, full=1)
    if spoiling.empty:
        return envelope({"total": 0, "diff": []}, rt=6, full=1)
    kept = page[: math.ceil(len(page) * spoiling.page_part)]
    rows = table.rows(kept, _fields(query.get("fields", "")))
    _spoil(rows, spoiling)
    return envelope({"total": len(table), "diff": rows}, rt=6, full=1)


def _spoil(rows: list[dict[str, Cell]], spoiling: Spoiling) -> None:
    """Alter rows in place as faults want it."""
    for row in rows:
        if spoiling.no_concepts and "f103" in row:
            row["f103"] = ""
        if spoiling.volume_factor != 1 and isinstance(lots := row.get("f5"), int | float):
            row["f5"] = round(lots * spoiling.volume_factor)


def _table(market: Market, selector: str, now: datetime) -> QuoteTable | None:
    members = _MEMBERS.match(selector)
    if members:
        return market.board_quotes(members[1], now)
    parts = {m[0] for part in selector.split(",") if (m := _SELECTOR.match(part.strip()))}
    if len(parts) == 1 and (kind := _BOARD_KINDS.get(next(iter(parts)))):
        return market.boards(kind, now)
    if not parts & _WHOLE_MARKET:
        return None
    quotes = market.quotes(now)
    if parts >= _WHOLE_MARKET:
        return quotes
    sections = map(_section, quotes.columns[_CODE])
    return quotes.select([at for at, section in enumerate(sections) if section in parts])


def _section(code: object) -> str:
    """The selector that lists a symbol."""
    text = str(code)
    if text.startswith("6"):
        return "m:1 t:23" if text.startswith("68") else "m:1 t:2"
    if text[0] in "489":
        return "m:0 t:81"
    return "m:0 t:80" if text.startswith("30") else "m:0 t:6"


def _fields(text: str) -> list[int]:
    numbers = [
        n for n in field_numbers(text) if n not in _LEADER_EXTRA or f"f{_LEADER}" not in text
    ]
    if _LEADER in numbers:
        after = numbers.index(_LEADER) + 1
        numbers[after:after] = _LEADER_EXTRA
    return numbers


def _wandering(places: list[int], spoiling: Spoiling) -> list[int]:
    """The order as it has become by the time of this request: rows moved by a few places."""
    drift = [at + spoiling.draw.uniform(0, spoiling.order_spread) for at in range(len(places))]
    return [places[at] for at in sorted(range(len(places)), key=drift.__getitem__)]
