"""``quantsync boards --changes``: how boards changed between two days."""

from collections import Counter
from dataclasses import asdict
from datetime import date

from rich.table import Table

from market.boards import BoardKind
from market.errors import UsageError
from market.sessions import Window
from pipeline import output
from pipeline.kline_query import NothingHeldError
from pipeline.runtime import Runtime
from storage.board_history import BoardChange, board_changes, taxonomies


def read_kind(text: str | None) -> BoardKind | None:
    """Read a kind of board.

    Raises:
        UsageError: Neither concept nor industry.
    """
    if text is not None and text not in list(BoardKind):
        raise UsageError(f"--kind {text!r}: use concept or industry")
    return BoardKind(text) if text else None


def print_changes(
    runtime: Runtime, kind: str | None, start: date | None, end: date | None, as_json: bool
) -> None:
    """Print joins, leaves, renames, boards that came or went, and changes of the taxonomy.

    Raises:
        NothingHeldError: No list of boards was ever taken.
    """
    wanted = read_kind(kind)
    versions = taxonomies(runtime.database, wanted)
    if not versions:
        raise NothingHeldError(
            "no boards are held: `quantsync sync concepts` and `sync industries` fetch them"
        )
    window = Window(start or runtime.calendar.first_session, end or date.max)
    changes = board_changes(runtime.database, window, wanted)
    known = (min(v.first_session for v in versions), max(v.last_session for v in versions))
    if as_json:
        output.print_json(
            {
                "known_from": known[0],
                "known_to": known[1],
                "taxonomies": [
                    {"version": v.version, **asdict(v), "boards": len(v.boards)} for v in versions
                ],
                "changes": [asdict(change) for change in changes],
            }
        )
        return
    if changes:
        output.console.print(_table(changes))
    counts = Counter(change.event.value for change in changes)
    said = ", ".join(f"{n:,} {name}" for name, n in counts.items()) or "no changes"
    output.messages.print(f"{said}; lists are known from {known[0]} to {known[1]}")


def _table(changes: list[BoardChange]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("session", "kind", "board", "name", "change", "what"):
        table.add_column(name)
    for change in changes:
        what = change.symbol or ""
        if change.before is not None:
            what = output.plain(f"{change.before} → {change.after}")
        table.add_row(
            str(change.session),
            change.kind or "",
            change.board or "",
            output.plain(change.name or ""),
            change.event.value,
            what,
        )
    return table
