"""What the ledger speaks of: runs, waves, batches, items, outcomes and their states."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from market.bars import Dataset
from market.boards import BoardKind
from market.periods import Period


class Work(StrEnum):
    """What a batch fetches."""

    SYMBOL_LIST = "symbol_list"
    KLINE = "kline"
    BOARD_LIST = "board_list"
    BOARD_MEMBERS = "board_members"
    MEMBER_SWEEP = "member_sweep"
    BOARD_KLINE = "board_kline"
    EX_RIGHT = "ex_right"

    @property
    def dataset(self) -> Dataset | None:
        """The klines this work yields; None for lists and ex-rights."""
        return {Work.KLINE: Dataset.KLINE, Work.BOARD_KLINE: Dataset.BOARD_KLINE}.get(self)


SUCCESSES = (
    "ok", "unchanged", "empty_suspended", "empty_not_listed", "delisted", "empty_board",
    "not_served",
)  # fmt: skip
"""Outcomes after which nothing is owed."""


SUSPECT_AFTER = 2
"""A batch whose workers died this often is tried alone, so that it takes no other down with it."""


class RunState(StrEnum):
    """How a run stands. ``COMMITTED``, ``PARTIAL``, ``FAILED`` are ends."""

    RUNNING = "running"
    COMMITTED = "committed"
    PARTIAL = "partial"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        """Whether the run can still change."""
        return self is not RunState.RUNNING


class BatchState(StrEnum):
    """How a batch stands. ``STAGED``, ``FAILED`` and ``COMMITTED`` need no worker any more."""

    PENDING = "pending"
    LEASED = "leased"
    STAGED = "staged"
    FAILED = "failed"
    COMMITTED = "committed"


class WaveState(StrEnum):
    """How a wave stands."""

    PLANNED = "planned"
    PUBLISHED = "published"
    COMMITTING = "committing"
    COMMITTED = "committed"
    GIVEN_UP = "given_up"
    """The run ended while it was being committed; both stores hold the same of it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One fetch of a batch.

    Attributes:
        subject: Symbol, board code, or the list's own name.
        start: First session wanted; None for lists.
        end: Last session wanted; None for lists.
        held: Whether bars of it were already held when this was planned.
        suspended_on: Session at which the latest list showed no trade of it.
        listed: Whether the latest list names it.
        reference: Previous close by the latest list, CNY, where it shows an ex-right.
    """

    subject: str
    start: date | None = None
    end: date | None = None
    held: bool = False
    suspended_on: date | None = None
    listed: bool | None = None
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What one header task of a chord fetches."""

    work: Work
    items: tuple[Item, ...]
    period: Period | None = None
    board_kind: BoardKind | None = None

    def to_json(self) -> str:
        """Text for the ledger."""
        return json.dumps(
            {
                "work": self.work.value,
                "period": self.period and self.period.value,
                "board_kind": self.board_kind and self.board_kind.value,
                "items": [
                    [
                        *(i.subject, _iso(i.start), _iso(i.end), i.held, _iso(i.suspended_on)),
                        *(i.listed, i.reference),
                    ]
                    for i in self.items
                ],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "BatchPlan":
        """The plan that :meth:`to_json` wrote."""
        raw = json.loads(text)
        return cls(
            work=Work(raw["work"]),
            period=Period(raw["period"]) if raw["period"] else None,
            board_kind=BoardKind(raw["board_kind"]) if raw["board_kind"] else None,
            items=tuple(
                # A batch of an earlier version ends after "listed".
                Item(subject, _day(start), _day(end), held, _day(suspended), *rest)
                for subject, start, end, held, suspended, *rest in raw["items"]
            ),
        )


@dataclass(frozen=True, slots=True)
class WavePlan:
    """One chord: its queue and the batches of its header."""

    queue: str
    batches: tuple[BatchPlan, ...]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run as it enters the ledger.

    Attributes:
        kind: ``stocks``, ``concepts`` or ``industries``.
        slot: Scheduled instant it serves (ISO 8601); None on demand. ``(kind, slot)`` is unique.
        params: What was asked for, as JSON values.
        notices: Sentences about the plan that the asker should read.
        deadline_s: Seconds after which the run ends as partial.
    """

    run_id: str
    kind: str
    period: Period | None
    upstream: str
    lane: str
    params: Mapping[str, object]
    waves: tuple[WavePlan, ...]
    slot: str | None = None
    notices: tuple[str, ...] = ()
    deadline_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a batch or to commit a wave, until the lease ends.

    Attributes:
        number: Of the batch, or of the wave.
        attempt: How often it has been taken, this time included.
    """

    run_id: str
    number: int
    token: str
    attempt: int


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How one fetch ended, as the ledger keeps it."""

    subject: str
    outcome: str
    reason: str | None = None
    rows: int = 0
    covered_from: date | None = None
    covered_to: date | None = None


@dataclass(frozen=True, slots=True)
class QuarantinedBar:
    """A rejected bar: its key, the whole row as JSON values, and the invariants it breaks."""

    dataset: Dataset
    period: Period
    subject: str
    end_at: int
    row: Mapping[str, object]
    reasons: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at a glance.

    Attributes:
        items: Fetches planned so far; a run that begins with a list learns more on the way.
        done: Fetches ended.
        outcomes: How often each outcome stands, by name; those of ex-rights apart.
        ex_rights: The same of the ex-rights.
        deadline_at: When it ends as partial, if it has not ended before.
        trouble: Why the wave that is due could not be committed yet; it will be tried again.
    """

    run_id: str
    kind: str
    period: str | None
    slot: str | None
    upstream: str
    lane: str
    params: dict[str, Any]
    notices: list[str]
    state: RunState
    reason: str | None
    created_at: float
    finished_at: float | None
    elapsed_s: float
    waves: int
    waves_committed: int
    batches: int
    batches_leased: int
    items: int
    done: int
    requests: int
    bars_written: int
    outcomes: dict[str, int]
    deadline_at: float
    trouble: str | None = None
    ex_rights: dict[str, int] = field(default_factory=dict)


def new_run_id() -> str:
    """An id that sorts by time: UTC date and time, and a random tail."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
