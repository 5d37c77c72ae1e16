"""Who is who when a list changes: names compared, and codes that the exchange has renumbered.

The Beijing exchange moved its codes of 43, 83, 87 and 88 to 920 in 2025. A code keeps its last
three digits unless 920 and those digits already belong to another listing; then it gets others.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from market.errors import InvalidSymbolError
from market.symbols import Exchange, Symbol, parse_symbol

_OLD_PREFIXES = ("43", "83", "87", "88")
_NEW_PREFIX = "920"
_IDEOGRAPH = "(?=[\u4e00-\u9fff])"
# First day, first week, ex dividend, ex right, both; special treatment; before the share reform;
# about to be delisted. A single letter only before a Chinese character: names have letters too.
_MARKS = re.compile(rf"^(?:\*?ST|XD|XR|DR|退市|[NCS]{_IDEOGRAPH}|S(?=\*?ST))")
_ENDINGS = re.compile(r"(?:-[UWVD]+|退)$")


def matching_name(name: str) -> str:
    """A name without what exchanges put around it from day to day, to compare it with another.

    Widths of characters, spaces, the marks N, C, XD, XR, DR, ST, *ST and 退(市), and endings such
    as -U do not matter. Only for comparing: names are kept as the list gave them.
    """
    text = "".join(unicodedata.normalize("NFKC", name).split()).upper()
    while (shorter := _MARKS.sub("", text)) not in (text, ""):
        text = shorter
    return _ENDINGS.sub("", text) or text


@dataclass(frozen=True, slots=True)
class Renumbering:
    """Two codes that may be one symbol.

    Attributes:
        old: The code that disappeared, ``836077.BJ``.
        new: The code that appeared.
        doubt: Why a person must decide; None if it is proven.
    """

    old: str
    new: str
    doubt: str | None = None


def find_renumberings(
    gone: Mapping[str, str | None], appeared: Mapping[str, str], taken: Collection[str]
) -> Iterator[Renumbering]:
    """Pairs of codes that disappeared and appeared, proven or to be decided by a person.

    A pair is proven by the same name, which no other code on either side bears, together with the
    exchange's rule.

    Args:
        gone: Codes that disappeared, with their last name, if one is known.
        appeared: Codes that are new, with their name.
        taken: All codes of the list: which of them the rule could not give away.
    """
    by_name: dict[str, list[str]] = {}
    for code, shown in appeared.items():
        by_name.setdefault(matching_name(shown), []).append(code)
    borne = Counter(matching_name(name) for name in gone.values() if name)
    for old, name in sorted(gone.items()):
        key = matching_name(name) if name else ""
        same = by_name.get(key, []) if key else []
        proven = False
        for new in same:
            unique = borne[key] == 1 and len(same) == 1
            doubt = None if unique else f"{name} is the name of more than one of them"
            doubt = doubt or _doubt(old, new, taken)
            proven = proven or doubt is None
            yield Renumbering(old, new, doubt)
        suggested = _by_rule(parse_symbol(old))
        by_digits = suggested in appeared and suggested not in same
        if by_digits and not proven and not _is_claimed(suggested, gone, appeared):
            was = f"was called {name}" if name else "has no known name"
            yield Renumbering(old, suggested, f"{old} {was}, {suggested} is {appeared[suggested]}")


def _is_claimed(code: str, gone: Mapping[str, str | None], appeared: Mapping[str, str]) -> bool:
    """Whether the name of a new code is that of another code which disappeared."""
    mine = matching_name(appeared[code])
    return any(name and matching_name(name) == mine for name in gone.values())


def _by_rule(old: Symbol) -> str:
    """The code that the rule gives to an old one; empty if the rule is not about it."""
    if old.exchange is not Exchange.BJ or not old.code.startswith(_OLD_PREFIXES):
        return ""
    return f"{_NEW_PREFIX}{old.code[3:]}.{Exchange.BJ.value}"


def _doubt(old: str, new: str, taken: Collection[str]) -> str | None:
    """Why the exchange's rule does not make one code the other; None if it does."""
    by_rule = _by_rule(parse_symbol(old))
    try:
        renumbered = parse_symbol(new)
    except InvalidSymbolError:
        return f"{new} is no code of a known exchange"
    if not by_rule:
        return f"no rule of an exchange renumbers {old}"
    if renumbered.exchange is not Exchange.BJ or not renumbered.code.startswith(_NEW_PREFIX):
        return f"{new} is no renumbered code: it may be a move to another exchange"
    if new != by_rule and by_rule not in taken:
        return f"by the exchange's rule it would be {by_rule}, which is free"
    return None
