"""What a person decides about bars and lists in quarantine, carried out on the stores."""

import math
import os
import pwd
import socket
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pyarrow as pa

from market.bars import VALUE_COLUMNS, BarState, Dataset, bar_schema
from market.boards import (
    BOARD_LIST_SCHEMA,
    BOARD_MEMBERS_SCHEMA,
    SYMBOL_LIST_SCHEMA,
    BoardKind,
    parse_board_code,
)
from market.errors import QuantsyncError
from market.periods import Period
from market.sessions import Window
from market.symbols import parse_symbol
from pipeline.committing import list_name
from pipeline.runtime import Runtime
from storage.catalog import ListChange
from storage.kline_quarantine import BarDecision, BarEntry, BarQuarantine, typed_row
from storage.list_entries import ListEntries, ListEntry
from storage.list_quarantine import QuarantineStatus

BY_HAND = "/hand"
"""Ends the ``source`` of a bar that a person accepted."""

_NO_PLACE = "not_a_bar_end"
"""The rule that nobody can vouch for: everything else takes bars to lie on the grid."""


class NotAcceptableError(QuantsyncError):
    """What is in quarantine cannot be stored, whoever vouches for it."""


def decider() -> str:
    """Who decides: ``user@host`` of this process."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def read_name(text: str) -> str:
    """What a person may ask the quarantine for: a symbol or board in any spelling, or a list.

    Raises:
        UsageError: It is none of them.
    """
    if text.endswith("_boards") or text == "symbols":
        return text
    return parse_board_code(text) if text.upper().startswith("BK") else str(parse_symbol(text))


def accept_bars(runtime: Runtime, entries: Sequence[BarEntry], by: str, note: str | None) -> None:
    """Write bars into both stores, and note who accepted them. Idempotent.

    A later fetch of the same values is accepted too, and changes nothing.

    Raises:
        NotAcceptableError: A bar can still change, ends at no bar's end, lacks a price, has given
            way to a later one, or is given twice with different values; none was written.
        StorageError: A store could not be written; accepting again goes on.
    """
    chosen: dict[tuple[str, str, str, int], int] = {}
    for entry in entries:
        _check(runtime, entry)
        key = (entry.dataset, entry.period, entry.subject, entry.end_at)
        if chosen.setdefault(key, entry.id) != entry.id:
            raise NotAcceptableError(
                f"b{chosen[key]} and b{entry.id} are the same bar of {entry.subject} with "
                "different values: accept one of them"
            )
    series = {(Dataset(entry.dataset), Period(entry.period)) for entry in entries}
    for dataset, period in sorted(series):
        mine = [e for e in entries if (e.dataset, e.period) == (dataset.value, period.value)]
        rows = [{**typed_row(e), "source": f"{e.row['source']}{BY_HAND}"} for e in mine]
        bars = pa.Table.from_pylist(rows, schema=bar_schema(dataset))
        runtime.lake.write(dataset, period, bars)
        runtime.warehouse.write_bars(dataset, period, bars)
    BarQuarantine(runtime.database).decide(
        [entry.id for entry in entries], BarDecision.ACCEPTED, by, note
    )


def held_bar(runtime: Runtime, entry: BarEntry) -> dict[str, object] | None:
    """The bar that is held in the place of one in quarantine; old minutes are in the lake only."""
    session = date.fromisoformat(entry.row["session"])
    key, names = (Dataset(entry.dataset), Period(entry.period)), [entry.subject]
    window = Window(session, session)
    held = runtime.warehouse.read_bars(*key, names=names, window=window)
    if not held.num_rows and key[1].is_intraday:
        held = runtime.lake.read(*key, names=names, window=window)
    ends = (row for row in held.to_pylist() if int(row["end_at"].timestamp()) == entry.end_at)
    return next(ends, None)


def _check(runtime: Runtime, entry: BarEntry) -> None:
    name = f"bar b{entry.id} ({entry.subject} {entry.row.get('end_at')})"
    if entry.row.get("state") != BarState.FINAL.value:
        raise NotAcceptableError(
            f"{name} was not final when it was fetched: the next sync fetches it as it became"
        )
    if _NO_PLACE in entry.reasons:
        raise NotAcceptableError(
            f"{name} ends where no {entry.period} bar ends: it would be counted beside the bar of "
            "its time, and no longer bar could be made of these; drop it"
        )
    needed = [entry.row.get(column) for column in VALUE_COLUMNS if column != "turnover_rate"]
    needed = needed if entry.row.get("open") is not None else needed[1:]
    if any(not isinstance(v, int | float) or not math.isfinite(v) for v in needed):
        raise NotAcceptableError(f"{name} lacks a price or a volume: it cannot be stored")
    held = held_bar(runtime, entry)
    if held is None or all(held[column] == entry.row[column] for column in VALUE_COLUMNS):
        return
    fetched_at = datetime.fromisoformat(entry.row["fetched_at"])
    if held["fetched_at"] > fetched_at:  # type: ignore[operator]
        raise NotAcceptableError(
            f"{name} was fetched at {fetched_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, and one "
            f"fetched later is held ({held['close']} CNY at the close): drop it"
        )


def accept_list(runtime: Runtime, entry: ListEntry, by: str, note: str | None) -> ListChange | None:
    """Take a list that was set aside, in the place of the one held.

    Returns:
        What changed; None if its rows were not kept: then it is taken when it is next fetched.

    Raises:
        NotAcceptableError: It is settled already, or a list of a later session is held.
    """
    if entry.status not in (QuarantineStatus.OPEN.value, QuarantineStatus.DROPPED.value):
        raise NotAcceptableError(
            f"list l{entry.id} ({entry.name} of {entry.session}) is {entry.status}: only an open "
            "or dropped one can be accepted"
        )
    entries = ListEntries(runtime.database)
    entries.decide([entry.id], QuarantineStatus.VOUCHED, by, note)
    if entry.whole is None:
        return None
    change = _replace(runtime, entry)
    if not change.accepted:
        entries.decide([entry.id], QuarantineStatus(entry.status), None, None)
        raise NotAcceptableError(
            f"list l{entry.id} ({entry.name} of {entry.session}) cannot be taken: {change.reason}"
        )
    return change


def _replace(runtime: Runtime, entry: ListEntry) -> ListChange:
    catalog, session, run_id = runtime.catalog, entry.session, entry.run_id
    if entry.name == "symbols":
        return catalog.replace_symbols(_rows(entry, SYMBOL_LIST_SCHEMA), session, run_id)
    for kind in BoardKind:
        if entry.name == list_name(kind):
            boards = _rows(entry, BOARD_LIST_SCHEMA)
            return catalog.replace_boards(kind, boards, session, run_id)
    return catalog.replace_members(entry.name, _rows(entry, BOARD_MEMBERS_SCHEMA), session, run_id)


def _rows(entry: ListEntry, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(entry.whole or [], schema=schema)
