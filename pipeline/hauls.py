"""What a batch has gathered, and how answers become bars to store and outcomes to record."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import pyarrow as pa

from ingest.source import BannedError, Bars, failure_of
from ingest.validation import all_accepted
from market.errors import QuantsyncError
from market.sessions import Window
from pipeline.doubting import HeldCloses, in_doubt, judge
from pipeline.proof import bars_proof
from pipeline.runtime import Runtime
from storage.run_records import BatchPlan, Item, OutcomeRow

log = logging.getLogger(__name__)


class BatchInterruptedError(QuantsyncError):
    """This worker cannot go on with a batch: it is asked to stop, or the lease was lost."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Bars that a source has given, not judged yet.

    Attributes:
        item: What was asked for.
        window: The sessions asked for.
        bars: What came.
        said: Remarks of the source, for the outcome.
    """

    item: Item
    window: Window
    bars: Bars
    said: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Haul:
    """What a batch has gathered so far.

    Attributes:
        plan: The batch.
        closes: Those held of the symbols.
        answers: Bars that wait to be judged.
        tables: What is to be staged, by staged table name.
        outcomes: Of the items that have ended, in any order.
        session: The session that lists show: what they mean must not depend on when, or whether,
            their commit can ask the upstream's clock.
        settled: Whether that session was over.
    """

    plan: BatchPlan
    closes: HeldCloses
    answers: list[Answer] = field(default_factory=list)
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    session: date | None = None
    settled: bool = False

    def add(self, name: str, table: pa.Table) -> None:
        """Add rows to a staged table."""
        self.tables.setdefault(name, []).append(table)

    def merged(self) -> dict[str, pa.Table]:
        """The tables to stage."""
        return {
            name: pa.concat_tables(parts, promote_options="default")
            for name, parts in self.tables.items()
        }

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(part.num_rows for parts in self.tables.values() for part in parts)


def settle(runtime: Runtime, haul: Haul, *, meanwhile: Callable[[], None]) -> None:
    """Judge the answers of a batch and turn each into an outcome.

    All are looked at together first, for most have no fault: those that may have one are judged
    singly.

    Args:
        runtime: What is held.
        haul: Takes the bars and outcomes.
        meanwhile: Called while a database that is away is waited for.

    Raises:
        BatchInterruptedError: ``meanwhile`` ended the batch.
    """
    answers, plan = haul.answers, haul.plan
    if not answers:
        return
    assert plan.period is not None
    assert plan.work.dataset is not None
    asked = [(answer.window, answer.bars) for answer in answers]
    try:
        doubted = in_doubt(
            runtime, plan.work.dataset, plan.period, asked, haul.closes, meanwhile=meanwhile
        )
    except BatchInterruptedError:
        raise
    except Exception:
        # Whichever of them it is: judged singly, it costs the others nothing.
        log.exception("the answers of a batch could not be looked at together")
        doubted = [True] * len(answers)
    for answer, doubt in zip(answers, doubted, strict=True):

        def settled(answer: Answer = answer, *, doubt: bool = doubt) -> OutcomeRow:
            return _settled(runtime, haul, answer, meanwhile, doubt=doubt)

        outcome = to_outcome(answer.item, answer.said, settled)
        assert outcome is not None
        haul.outcomes.append(outcome)
    answers.clear()


def _settled(
    runtime: Runtime, haul: Haul, answer: Answer, meanwhile: Callable[[], None], *, doubt: bool
) -> OutcomeRow:
    dataset, period, bars = haul.plan.work.dataset, haul.plan.period, answer.bars
    assert dataset is not None
    assert period is not None
    if doubt:
        verdict = judge(
            runtime, dataset, period, answer.window, bars, closes=haul.closes, meanwhile=meanwhile
        )
    else:
        verdict = all_accepted(bars.table)
    proof = bars_proof(answer.item, period, bars, verdict, runtime.calendar)
    haul.add(dataset.value, verdict.accepted)
    if verdict.rejected.num_rows:
        haul.add("quarantine", verdict.rejected)
    return replace(proof, reason=proof.reason or bars.instead_of)


def to_outcome(
    item: Item, said: list[str], call: Callable[[], OutcomeRow | None]
) -> OutcomeRow | None:
    """What a call gives, with the remarks made; a failure of it is an outcome with its reason.

    Raises:
        BatchInterruptedError: It is no fault of the item's.
        BannedError: Likewise.
    """
    try:
        outcome = call()
        if outcome is None or not said:
            return outcome
        reasons = [outcome.reason, *said] if outcome.reason else said
        return replace(outcome, reason="; ".join(reasons))
    except (BatchInterruptedError, BannedError):
        raise
    except QuantsyncError as error:
        failed, reason = failure_of(error)
        log.warning("%s: %s", item.subject, reason)
    except Exception as error:
        failed, reason = failure_of(error)
        log.exception("%s failed in a way nobody foresaw", item.subject)
    return OutcomeRow(item.subject, failed.value, "; ".join([reason, *said]))
