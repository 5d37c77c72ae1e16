"""Words in which the ledger's tests are written: runs, claims, outcomes."""

from datetime import date

from market.periods import Period
from storage.ledger import Ledger
from storage.run_records import (
    BatchPlan,
    Claim,
    Item,
    OutcomeRow,
    RunPlan,
    WavePlan,
    Work,
    new_run_id,
)

FIRST, LAST = date(2025, 3, 3), date(2025, 3, 7)


def batch(*names: str) -> BatchPlan:
    """A batch of daily klines."""
    items = tuple(Item(name, FIRST, LAST, suspended_on=LAST) for name in names)
    return BatchPlan(Work.KLINE, items, period=Period.DAILY)


def open_run(
    ledger: Ledger, *waves: tuple[BatchPlan, ...], slot: str | None = None, deadline_s: float = 600
) -> str:
    """A run of such waves."""
    plan = RunPlan(
        run_id=new_run_id(),
        kind="stocks",
        period=Period.DAILY,
        upstream="simulator",
        lane="live",
        params={"from": "2025-03-03"},
        waves=tuple(WavePlan("quant_stock_queues", w) for w in waves),
        slot=slot,
        deadline_s=deadline_s,
    )
    assert ledger.open_run(plan)
    return plan.run_id


def stage(ledger: Ledger, claim: Claim, *outcomes: OutcomeRow) -> bool:
    """Stage a batch with the given outcomes."""
    return ledger.stage_batch(
        claim, manifest={"tables": {}}, rows=5, requests=2, work=Work.KLINE, outcomes=outcomes
    )


def claimed(ledger: Ledger, run_id: str, number: int = 0, lease_s: float = 60) -> Claim:
    """A batch that must be free."""
    claim = ledger.claim_batch(run_id, number, lease_s)
    assert claim is not None
    return claim


def commit(ledger: Ledger, run_id: str, wave: int = 0, **more: object) -> bool:
    """Commit a wave that must be ready."""
    claim = ledger.claim_wave(run_id, wave, 60)
    assert claim is not None
    values: dict[str, object] = {
        "bars_written": 5,
        "refused": {},
        "quarantined": [],
        "extension": [],
    }
    return ledger.commit_wave(claim, **{**values, **more})  # type: ignore[arg-type]


def ok(name: str) -> OutcomeRow:
    """A fetch that proves the whole window."""
    return OutcomeRow(name, "ok", rows=5, covered_from=FIRST, covered_to=LAST)
