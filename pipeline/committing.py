"""The commit of a wave: staged batches into the lake, then SQL, then the ledger.

The order is the promise: a crash between any two steps is repaired by committing again, because
writing the same bars twice changes nothing and the watermark moves last.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from market.bars import Dataset
from market.boards import BOARD_LIST_SCHEMA, BOARD_MEMBERS_SCHEMA, SYMBOL_LIST_SCHEMA, BoardKind
from market.errors import QuantsyncError
from market.periods import Period
from pipeline.absences import record_absences
from pipeline.broker import BrokerUnreachableError
from pipeline.ex_rights import commit_events
from pipeline.identity import process_identity
from pipeline.log_fields import log_fields
from pipeline.plans import SNAPSHOT_PARAM, extend_after_list, extend_after_sweep
from pipeline.prices import settle_prices
from pipeline.pulse import pulse, working_on
from pipeline.recoding import recode
from pipeline.runtime import Runtime
from pipeline.snapshotting import take_snapshot
from pipeline.sweeping import Swept, take_sweep
from pipeline.voiding import void_leases_of_the_dead
from storage.errors import StorageError
from storage.killpoints import KillPoint, reach
from storage.run_records import (
    BatchPlan,
    Claim,
    OutcomeRow,
    QuarantinedBar,
    RunState,
    RunStatus,
    WavePlan,
    Work,
)

log = logging.getLogger(__name__)

_DAILY, _MINUTES = (Dataset.KLINE, Period.DAILY), (Dataset.KLINE, Period.M5)

Publish = Callable[[str, int], None]
"""Hands a wave of a run to the broker."""


@dataclass(slots=True)
class _Committed:
    bars_written: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    swept: Sequence[OutcomeRow] = ()
    quarantined: list[QuarantinedBar] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def commit_or_postpone(
    runtime: Runtime, run_id: str, wave: int, publish: Publish
) -> dict[str, object]:
    """Commit a wave, and decide what becomes of it where a store does not take it.

    A fault that may pass (a full disk, a database away) postpones the commit: the wave stays as it
    is, says why, and the reconciler tries it again, until the run's deadline. Any other ends the
    run.
    """
    said: dict[str, object] = {"run_id": run_id, "wave": wave}
    with log_fields(**said):
        try:
            return commit_wave(runtime, run_id, wave, publish)
        except StorageError as error:
            if error.transient:
                log.warning("wave %s of run %s is postponed: %s", wave, run_id, error)
                return {**said, "postponed": error.message}
            log.exception("wave %s of run %s cannot be committed: the run ends", wave, run_id)
            runtime.ledger.end_run(run_id, RunState.FAILED, error.message)
            return {**said, "failed": error.message}
        except Exception as error:
            # Nobody foresaw it, so nobody knows whether it will pass: the run's deadline decides.
            log.exception("wave %s of run %s could not be committed", wave, run_id)
            return {**said, "postponed": f"{type(error).__name__}: {error}"}


def commit_wave(runtime: Runtime, run_id: str, wave: int, publish: Publish) -> dict[str, object]:
    """Commit a wave whose batches have all ended; a second call does nothing.

    Args:
        runtime: The stores.
        run_id: The run.
        wave: Which of its waves.
        publish: Called for the wave to come, before the merge, so that fetching never waits for it.

    Raises:
        StorageError: A store could not be written; the wave is given back and can be committed
            again.
    """
    said: dict[str, object] = {"run_id": run_id, "wave": wave}
    lease_s, owner = runtime.settings.commit_lease_s, process_identity()
    with working_on(f"the commit of wave {wave} of run {run_id}"):
        claim = runtime.ledger.claim_wave(run_id, wave, lease_s, owner)
        if claim is None and void_leases_of_the_dead(runtime.recovery):
            claim = runtime.ledger.claim_wave(run_id, wave, lease_s, owner)
        if claim is None:
            log.info("wave %s of run %s is not to be committed here and now", wave, run_id)
            return {**said, "claimed": False}
        reach(KillPoint.WAVE_CLAIMED)
        _publish_next(runtime, run_id, wave, publish)
        try:
            done = _commit(runtime, claim)
        except LeaseLostError as error:
            log.warning("%s", error)
            return {**said, "refused": error.message}
        except Exception as error:
            # Whoever catches it says so; one that waits for a disk would say it every period.
            _give_back(runtime, claim, str(error) or type(error).__name__)
            raise
        _publish_next(runtime, run_id, wave, publish)
    return {**said, "bars_written": done.bars_written}


class LeaseLostError(QuantsyncError):
    """Another process has the committing lease now: what this one would still write is refused."""


def _give_back(runtime: Runtime, claim: Claim, reason: str) -> None:
    try:
        runtime.ledger.release_wave(claim, reason)
    except StorageError as another:
        log.warning("the committing lease is not given back, and will run out: %s", another)


def _publish_next(runtime: Runtime, run_id: str, wave: int, publish: Publish) -> None:
    following = runtime.ledger.planned_wave_after(run_id, wave)
    if following is None:
        return
    try:
        publish(run_id, following)
    except BrokerUnreachableError as error:
        # The commit needs no broker; the reconciler publishes the wave when there is one.
        log.warning("wave %s of run %s waits for the broker: %s", following, run_id, error)


def _commit(runtime: Runtime, claim: Claim) -> _Committed:
    ledger, lease_s = runtime.ledger, runtime.settings.commit_lease_s

    def hold(bars_written: int | None = None) -> None:
        pulse()
        if not ledger.renew_wave(claim, lease_s, bars_written):
            raise LeaseLostError(
                f"wave {claim.number} of run {claim.run_id} is committed by another process, or "
                "the run has ended: this one's late writes are refused",
                {"run_id": claim.run_id, "wave": claim.number},
            )

    status = ledger.status(claim.run_id)
    staged = ledger.staged(claim.run_id, claim.number)
    done = _Committed()
    if any(table["rows"] for _, manifest in staged for table in manifest["tables"].values()):
        settle_prices(runtime, status.upstream)
    bars = _write_bars(runtime, staged, done, hold)
    record_absences(runtime, claim.run_id, [plan for plan, _ in staged], bars)
    bars.clear()
    extension, notices = _write_others(runtime, status, staged, done, hold)
    recorded = ledger.commit_wave(
        claim,
        bars_written=done.bars_written,
        refused=done.refused,
        quarantined=done.quarantined,
        extension=extension,
        swept=done.swept,
        notices=notices,
    )
    if not recorded:
        hold()  # lost: raises
        raise AssertionError("a commit that holds its lease was not recorded")
    reach(KillPoint.WAVE_RECORDED)
    for _, manifest in staged:
        runtime.staging.discard(manifest)
    return done


def settle_half_commit(runtime: Runtime, run_id: str, wave: int) -> None:
    """Make both stores hold the same of a wave whose run ended while it was being committed.

    The bars are right, so they are written where they lack; nothing is covered by them, and the
    next sync asks for them again. Idempotent.

    Raises:
        StorageError: A store could not be written; it can be settled again.
    """
    with working_on(f"what run {run_id} left half committed"):
        try:
            settle_prices(runtime, runtime.ledger.status(run_id).upstream)
        except StorageError as error:
            if error.transient:
                raise
            # Of the other kind than the home holds: that is why nothing of it was written.
            log.warning("run %s: %s", run_id, error)
        else:
            staged = runtime.ledger.staged(run_id, wave)
            _write_bars(runtime, staged, _Committed(), lambda _bars_written=None: pulse())
        runtime.recovery.close_half_committed(run_id, wave)


_Staged = list[tuple[BatchPlan, dict[str, Any]]]


def _write_others(
    runtime: Runtime,
    status: RunStatus,
    staged: _Staged,
    done: _Committed,
    hold: Callable[..., None],
) -> tuple[list[WavePlan], list[str]]:
    """Write lists and ex-rights; the waves and notices that follow from the lists."""
    for plan, manifest in staged:
        if plan.work is Work.EX_RIGHT:
            commit_events(runtime, status.run_id, manifest)
        elif plan.work.dataset is None and plan.work is not Work.MEMBER_SWEEP:
            _write_list(runtime, status, plan, manifest, done)
            recode(runtime, alive=hold)
    extension, said = extend_after_sweep(runtime, status, staged, hold)
    notices = [*done.notices, *said]
    for plan, manifest in staged:
        if plan.work in (Work.SYMBOL_LIST, Work.BOARD_LIST):
            listing = _taken_listing(runtime, plan, manifest, done)
            if plan.work.value not in manifest["tables"]:
                notices += _without_a_list(runtime, plan)
            session = date.fromisoformat(manifest["session"])
            swept = Swept()
            if listing is not None:
                swept = _take_quotes(runtime, status, staged, manifest, listing, done, hold)
                done.swept = swept.outcomes
                notices += swept.notices
            waves, said = extend_after_list(runtime, status, session, listing, swept.names)
            extension += waves
            notices += said
    return extension, notices


def _take_quotes(
    runtime: Runtime,
    status: RunStatus,
    staged: _Staged,
    manifest: Mapping[str, Any],
    quotes: pa.Table,
    done: _Committed,
    hold: Callable[..., None],
) -> Swept:
    """The bars that a list of quotes carries: a tick's 5m bars, or else the day's."""
    if not status.params.get(SNAPSHOT_PARAM):
        return take_sweep(
            runtime,
            status,
            manifest,
            quotes,
            lambda bars: _write(runtime, _DAILY, bars, done, hold),
        )
    fetched: set[str] = set()
    for plan, other in staged:
        if plan.work is Work.KLINE and Dataset.KLINE.value in other["tables"]:
            bars = runtime.staging.read(other, Dataset.KLINE.value)
            fetched |= set(pc.unique(bars["symbol"].cast(pa.string())).to_pylist())
    notices = take_snapshot(
        runtime,
        status,
        manifest,
        quotes,
        fetched,
        lambda bars: _write(runtime, _MINUTES, bars, done, hold),
    )
    return Swept(notices=tuple(notices))


def _without_a_list(runtime: Runtime, plan: BatchPlan) -> list[str]:
    """What is said of a run that goes on with the latest list it has."""
    if plan.work is not Work.SYMBOL_LIST:
        return []
    rows = runtime.catalog.symbols()
    latest = max((row.last_listed for row in rows if row.last_listed is not None), default=None)
    if latest is None:
        return ["there is no symbol list, neither fetched nor held: name symbols, or sync again"]
    notice = (
        f"the symbol list could not be fetched: the run goes on with the {len(rows)} symbols of "
        f"the list of {latest}"
    )
    return [notice]


def _taken_listing(
    runtime: Runtime, plan: BatchPlan, manifest: Mapping[str, Any], done: _Committed
) -> pa.Table | None:
    """The symbol list of a batch, if it is one and was taken."""
    name = Work.SYMBOL_LIST.value
    if plan.work is not Work.SYMBOL_LIST or done.refused or name not in manifest["tables"]:
        return None
    return runtime.staging.read(manifest, name)


def _write_bars(
    runtime: Runtime, staged: _Staged, done: _Committed, hold: Callable[..., None]
) -> dict[tuple[Dataset, Period], pa.Table]:
    """Merge all staged bars of the wave at once, so that each partition is rewritten once."""
    parts: dict[tuple[Dataset, Period], list[Mapping[str, Any]]] = {}
    for plan, manifest in staged:
        dataset = plan.work.dataset
        if dataset is None:
            continue
        assert plan.period is not None
        parts.setdefault((dataset, plan.period), []).append(manifest)
        if "quarantine" in manifest["tables"]:
            rejected = runtime.staging.read(manifest, "quarantine")
            done.quarantined += _quarantined(dataset, plan.period, rejected)
    written = {}
    for key, manifests in parts.items():
        bars = runtime.staging.read_bars(manifests, key[0])
        if bars.num_rows:
            _write(runtime, key, bars, done, hold)
            written[key] = bars
    return written


def _write(
    runtime: Runtime,
    key: tuple[Dataset, Period],
    bars: pa.Table,
    done: _Committed,
    hold: Callable[..., None],
) -> None:
    """Bars into the lake, then into SQL."""
    written = runtime.lake.write(*key, bars, alive=lambda: hold(None))
    reach(KillPoint.LAKE_WRITTEN)
    in_lake = sum(part.inserted + part.updated for part in written)
    hold(done.bars_written + in_lake)
    count = runtime.warehouse.write_bars(*key, bars)
    reach(KillPoint.WAREHOUSE_WRITTEN)
    done.bars_written += max(in_lake, count.inserted + count.updated)


def _quarantined(dataset: Dataset, period: Period, rejected: pa.Table) -> Iterator[QuarantinedBar]:
    for row in rejected.to_pylist():
        reasons = row.pop("reasons")
        yield QuarantinedBar(
            dataset=dataset,
            period=period,
            subject=row[dataset.key],
            end_at=int(row["end_at"].timestamp()),
            row=json.loads(json.dumps(row, default=str)),
            reasons=reasons,
        )


def _write_list(
    runtime: Runtime,
    status: RunStatus,
    plan: BatchPlan,
    manifest: Mapping[str, Any],
    done: _Committed,
) -> None:
    if plan.work.value not in manifest["tables"]:
        return  # every item of the batch failed; the outcomes say why
    table = runtime.staging.read(manifest, plan.work.value)
    session = date.fromisoformat(manifest["session"])
    run_id = status.run_id
    if plan.work is Work.SYMBOL_LIST:
        listing = table.select(SYMBOL_LIST_SCHEMA.names).cast(SYMBOL_LIST_SCHEMA)
        settled = bool(manifest["settled"])
        change = runtime.catalog.replace_symbols(listing, session, run_id, settled=settled)
        changes = {"symbols": change}
    elif plan.work is Work.BOARD_LIST:
        assert plan.board_kind is not None
        boards = table.select(BOARD_LIST_SCHEMA.names).cast(BOARD_LIST_SCHEMA)
        changes = {
            list_name(plan.board_kind): runtime.catalog.replace_boards(
                plan.board_kind, boards, session, run_id
            )
        }
    else:
        changes = {}
        for item in plan.items:
            members = table.filter(pc.equal(table["board"], item.subject))
            if members.num_rows:
                members = members.select(BOARD_MEMBERS_SCHEMA.names).cast(BOARD_MEMBERS_SCHEMA)
                changes[item.subject] = runtime.catalog.replace_members(
                    item.subject, members, session, run_id
                )
    for name, change in changes.items():
        done.notices += change.notices
        if not change.accepted:
            done.refused[name] = str(change.reason)


def list_name(kind: BoardKind) -> str:
    """Name of a board list in the ledger."""
    return f"{kind.value}_boards"
