"""Decisions about the quarantine, by the ids that people write: ``b12``, ``l3``, ``b12..b40``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingest.validation import RULES
from market.errors import UsageError
from pipeline.quarantining import accept_bars, accept_list, held_bar
from pipeline.runtime import Runtime
from storage.kline_quarantine import BarDecision, BarEntry, BarQuarantine
from storage.list_entries import ListEntries, ListEntry
from storage.list_quarantine import QuarantineStatus

_ID = re.compile(r"[0-9]{1,12}")
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Entries of the quarantine that were named."""

    bars: tuple[BarEntry, ...]
    lists: tuple[ListEntry, ...]

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [f"b{each.id}" for each in self.bars] + [f"l{each.id}" for each in self.lists]


def choose(runtime: Runtime, ids: Sequence[str]) -> Chosen:
    """The entries that ids name, each once.

    Raises:
        UsageError: One is no id, or they name too many.
        NoSuchEntryError: There is none of that number.
    """
    bars, lists = BarQuarantine(runtime.database), ListEntries(runtime.database)
    chosen_bars: dict[int, BarEntry] = {}
    chosen_lists: dict[int, ListEntry] = {}
    for text in ids:
        numbers, is_list = read_ids(text)
        for number in numbers:
            if is_list:
                chosen_lists[number] = lists.entry(number)
            else:
                chosen_bars[number] = bars.entry(number)
    return Chosen(tuple(chosen_bars.values()), tuple(chosen_lists.values()))


def read_ids(text: str) -> tuple[range, bool]:
    """The numbers that an id or a range of ids names, and whether they are lists'.

    Raises:
        UsageError: It is neither, or names too many.
    """
    first, _, last = text.strip().lower().partition("..")
    last = last or first
    kinds, digits = {first[:1], last[:1]}, (first[1:], last[1:])
    known = len(kinds) == 1 and kinds <= {"b", "l"} and all(map(_ID.fullmatch, digits))
    if not known or int(digits[0]) > int(digits[1]):
        raise UsageError(
            f"{text!r} is no id of the quarantine: write b12 for a bar, l3 for a list, b12..b40 "
            "for a range"
        )
    numbers = range(int(digits[0]), int(digits[1]) + 1)
    if len(numbers) > _MOST:
        raise UsageError(f"{text!r} names {len(numbers):,} entries: name {_MOST:,} at most")
    return numbers, kinds == {"l"}


def accept(runtime: Runtime, chosen: Chosen, by: str, note: str | None) -> list[str]:
    """Take bars or lists after all; what came of each, in a sentence.

    Args:
        runtime: The stores.
        chosen: Which.
        by: Who decides.
        note: Why; kept with the decision.

    Raises:
        NotAcceptableError: One cannot be stored, whoever vouches for it.
        StorageError: A store could not be written; accepting again goes on.
    """
    accept_bars(runtime, chosen.bars, by, note)
    said = [f"b{e.id}: {e.subject} {e.row['end_at'][:16]} is in both stores" for e in chosen.bars]
    for entry in chosen.lists:
        change = accept_list(runtime, entry, by, note)
        said.append(
            f"l{entry.id}: {entry.name} is taken when it is next fetched: its rows were not kept"
            if change is None
            else f"l{entry.id}: {entry.name} of {entry.session} is taken: {change.added} added, "
            f"{change.removed} removed"
        )
    return said


def drop(runtime: Runtime, chosen: Chosen, by: str, note: str | None) -> list[str]:
    """Settle that bars or lists are wrong; they stay on record. What came of each, in a sentence.

    Args:
        runtime: The stores.
        chosen: Which.
        by: Who decides.
        note: Why; kept with the decision.

    Raises:
        UsageError: One was accepted before.
        StorageError: The database cannot be used.
    """
    taken = [f"b{e.id}" for e in chosen.bars if e.status == BarDecision.ACCEPTED.value]
    taken += [f"l{e.id}" for e in chosen.lists if e.status == QuarantineStatus.ACCEPTED.value]
    if taken:
        raise UsageError(f"{', '.join(taken)}: accepted before, and in the stores: not dropped")
    numbers = [e.id for e in chosen.bars]
    BarQuarantine(runtime.database).decide(numbers, BarDecision.DROPPED, by, note)
    entries = ListEntries(runtime.database)
    entries.decide([e.id for e in chosen.lists], QuarantineStatus.DROPPED, by, note)
    said = [f"b{e.id}: {e.subject} {e.row['end_at'][:16]} is dropped" for e in chosen.bars]
    return said + [f"l{e.id}: {e.name} of {e.session} is dropped" for e in chosen.lists]


def broken_rules(entry: BarEntry) -> dict[str, str]:
    """The rules that a bar breaks, and what each says."""
    return {name: RULES.get(name, "") for name in entry.reasons}


def beside_held(runtime: Runtime, entry: BarEntry | ListEntry) -> dict[str, Any]:
    """What is held in the place of an entry.

    Raises:
        StorageError: A store cannot be read.
    """
    if isinstance(entry, BarEntry):
        return {"held": held_bar(runtime, entry)}
    held, names = _held_names(runtime, entry), set(entry.names)
    return {
        "held": len(held),
        "not_held": sorted(names - held),
        "missing": sorted(held - names),
    }


def _held_names(runtime: Runtime, entry: ListEntry) -> set[str]:
    if entry.name == "symbols":
        return {row.symbol for row in runtime.catalog.symbols()}
    if entry.name.endswith("_boards"):
        boards = runtime.catalog.boards()
        return {b.code for b in boards if f"{b.kind}_boards" == entry.name}
    if entry.name not in {b.code for b in runtime.catalog.boards(active_only=False)}:
        return set()
    members = runtime.catalog.members(entry.name, entry.session).members
    return {member.symbol for member in members}
