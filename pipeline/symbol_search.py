"""Finding symbols and boards by what people remember of them: a part of a code or of a name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.runtime import Runtime
from storage.aliases import read_aliases


@dataclass(frozen=True, slots=True)
class Named:
    """A symbol or a board.

    Attributes:
        code: ``600519.SH``, ``BK0477``.
        kind: ``stock``, ``concept``, ``industry``; ``board`` where no list says which.
        active: Whether the latest list names it.
        former: Codes that it bore before.
    """

    code: str
    name: str | None
    kind: str
    active: bool
    former: tuple[str, ...] = ()


def read_named(runtime: Runtime) -> list[Named]:
    """All symbols and boards that are known: those that are listed first, by code.

    Raises:
        StorageError: The database cannot be used.
    """
    former: dict[str, list[str]] = {}
    for old, present in read_aliases(runtime.database).items():
        former.setdefault(present, []).append(old)
    stocks = [
        Named(row.symbol, row.name, "stock", row.listed, tuple(sorted(former.get(row.symbol, ()))))
        for row in runtime.catalog.symbols(listed_only=False)
    ]
    boards = [
        Named(row.code, row.name, row.kind or "board", row.active)
        for row in runtime.catalog.boards(active_only=False)
    ]
    return sorted([*stocks, *boards], key=lambda each: (not each.active, each.code))


def find_named(known: Sequence[Named], text: str, limit: int) -> list[Named]:
    """Those that a text may mean, the likeliest first.

    Args:
        known: By :func:`read_named`.
        text: ``600519``, ``sh600519``, ``茅台``, ``bk04``.
        limit: How many at most.
    """
    wanted = "".join(text.upper().split())
    if not wanted:
        return list(known[:limit])
    ranked = sorted(
        ((rank, at) for at, each in enumerate(known) if (rank := _rank(each, wanted)) is not None)
    )
    return [known[at] for _, at in ranked[:limit]]


def _rank(each: Named, wanted: str) -> int | None:
    """How well a text fits, 0 best; None: not at all."""
    codes = list(_codes(each))
    name = "".join((each.name or "").upper().split())
    if wanted in codes or wanted == name:
        return 0
    if any(code.startswith(wanted) for code in codes) or name.startswith(wanted):
        return 1
    if wanted in name or any(wanted in code for code in codes):
        return 2
    return None


def _codes(each: Named) -> Iterator[str]:
    """A code as people write it: ``600519.SH``, ``SH600519``, ``600519``."""
    for code in (each.code, *each.former):
        yield code
        digits, dot, exchange = code.partition(".")
        if dot:
            yield exchange + digits
