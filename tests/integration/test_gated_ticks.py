"""Ticks and nightly jobs at the gate: what they begin, and that else they leave nothing behind."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ
from market.periods import Period
from pipeline import ticks
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from pipeline.ticks import SCHEDULED, tick
from pipeline.upkeep import repair_gaps, send_report_when_final
from storage.run_records import BatchPlan, Item, RunPlan, RunState, WavePlan, Work, new_run_id
from storage.vital_signs import TICK, last_turn, read_signs

DAY = "2025-12-31"
Make = Callable[..., Runtime]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=EXCHANGE_TZ)


@pytest.fixture
def made(simulator: SimulatorServer, tmp_path: Path) -> Iterator[Make]:
    """Makes the runtime of an installation that follows the simulator's clock."""
    runtimes: list[Runtime] = []

    def make(**settings: object) -> Runtime:
        known: dict[str, object] = {
            "quantsync_home": tmp_path / "home", "quantsync_upstream": simulator.url,
        }  # fmt: skip
        (tmp_path / "home").mkdir(exist_ok=True)
        runtimes.append(Runtime(Settings(**known | settings)))  # type: ignore[arg-type]
        return runtimes[-1]

    yield make
    for runtime in runtimes:
        runtime.database.dispose()


class Published(list[tuple[str, int]]):
    """Takes the place of the broker: what was handed to it."""

    def __call__(self, run_id: str, wave: int) -> None:
        """Take it."""
        self.append((run_id, wave))


def tick_all(runtime: Runtime, published: Published) -> list[str]:
    """All ticks of an instant; the names of those that began a run."""
    return [name for name in SCHEDULED if tick(runtime, name, published) is not None]


def run_of_slot(runtime: Runtime, name: str, slot: str) -> str:
    scheduled, day = SCHEDULED[name], date.fromisoformat(DAY)
    batch = BatchPlan(Work.KLINE, (Item("600519.SH", day, day),), period=scheduled.period)
    plan = RunPlan(
        run_id=new_run_id(),
        kind=scheduled.kind,
        period=scheduled.period,
        upstream="simulator",
        lane=scheduled.lane,
        params={"from": DAY, "to": DAY},
        waves=(WavePlan("quant_stock_queues", (batch,)),),
        slot=at(slot).isoformat(),
    )
    assert runtime.ledger.open_run(plan)
    return plan.run_id


@pytest.mark.parametrize(
    "now", ["2025-12-31T08:00", "2025-12-28T10:35", "2025-10-01T10:35"],
    ids=["before the open", "weekend", "holiday"],
)  # fmt: skip
def test_outside_a_session_a_tick_leaves_nothing_but_a_sign_of_life(
    made: Make, simulator: SimulatorServer, now: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run, no request, no message; the ledger says that somebody serves ticks."""
    monkeypatch.setattr(ticks, "_shown", float("-inf"))
    runtime, published = made(), Published()
    simulator.clock.set(at(now))
    seen = len(simulator.log.since(0))

    assert tick_all(runtime, published) == []

    assert runtime.ledger.runs(10) == []
    assert len(simulator.log.since(0)) == seen
    assert published == []
    assert TICK in read_signs(runtime.database)


@pytest.mark.parametrize(("now", "slot"), [("12:15", "11:30"), ("15:14", "15:10")])
def test_lunch_and_the_minutes_after_the_last_slot_begin_nothing(
    made: Make, simulator: SimulatorServer, now: str, slot: str
) -> None:
    """The slot before was served; had it not been, it would be now."""
    runtime, published = made(watch_list="600519"), Published()
    served = run_of_slot(runtime, "stocks_5m", f"{DAY}T{slot}")
    runtime.ledger.end_run(served, RunState.COMMITTED, "")
    simulator.clock.set(at(f"{DAY}T{now}"))

    assert tick_all(runtime, published) == []
    assert len(runtime.ledger.runs(10)) == 1


def test_a_tick_at_lunch_serves_the_slot_that_nobody_served(
    made: Make, simulator: SimulatorServer
) -> None:
    """A stack that was down at 11:30 fetches the morning's last bars at noon."""
    runtime, published = made(watch_list="600519"), Published()
    simulator.clock.set(at(f"{DAY}T12:15"))

    assert tick_all(runtime, published) == ["stocks_5m"]
    assert runtime.ledger.runs(1)[0].slot == at(f"{DAY}T11:30").isoformat()


def test_after_the_close_boards_are_begun_in_the_bulk_lane_and_once(
    made: Make, simulator: SimulatorServer
) -> None:
    """Each at its slot; asking again begins nothing."""
    runtime, published = made(schedule="stocks_5m=off"), Published()
    begun = {}
    for clock in ("15:10", "15:15", "15:20", "15:25", "15:30", "15:35"):
        simulator.clock.set(at(f"{DAY}T{clock}"))
        begun[clock] = tick_all(runtime, published) + tick_all(runtime, published)

    assert begun == {
        "15:10": [], "15:15": ["stocks_daily"], "15:20": ["stocks_5m_final"],
        "15:25": ["concepts_daily"], "15:30": ["industries_daily"], "15:35": [],
    }  # fmt: skip
    runs = {run.kind: run for run in runtime.ledger.runs(10) if run.lane == "bulk"}
    assert set(runs) == {"concepts", "industries", "stocks"}
    assert runs["concepts"].slot == at(f"{DAY}T15:25").isoformat()
    assert runs["industries"].period == Period.DAILY.value
    assert len(published) == 4


def open_stocks(runtime: Runtime, lane: str, symbols: list[str]) -> str:
    day = date(2025, 12, 30)
    batch = BatchPlan(Work.KLINE, tuple(Item(s, day, day) for s in symbols), period=Period.DAILY)
    plan = RunPlan(
        run_id=new_run_id(), kind="stocks", period=Period.DAILY, upstream="simulator", lane=lane,
        params={"symbols": symbols, "from": "2025-12-29", "to": "2025-12-30"},
        waves=(WavePlan("quant_stock_queues", (batch,)),),
    )  # fmt: skip
    assert runtime.ledger.open_run(plan)
    return plan.run_id


def test_gaps_are_repaired_once_a_night_and_not_beside_a_backfill(
    made: Make, simulator: SimulatorServer
) -> None:
    """What a failed run left is fetched in the bulk lane; the second beat begins nothing."""
    runtime, published = made(), Published()
    simulator.clock.set(at("2025-12-31T03:30"))
    failed = open_stocks(runtime, "live", ["600519.SH"])
    runtime.ledger.end_run(failed, RunState.FAILED, "no reason")
    backfill = open_stocks(runtime, "bulk", ["600519.SH"])
    assert repair_gaps(runtime, published) == []
    runtime.ledger.end_run(backfill, RunState.FAILED, "no reason")

    begun = repair_gaps(runtime, published)

    assert published == [(run_id, 0) for run_id in begun]
    (run,) = [runtime.ledger.status(run_id) for run_id in begun]
    assert (run.lane, run.params["symbols"]) == ("bulk", ["600519.SH"])
    runtime.ledger.end_run(run.run_id, RunState.FAILED, "no reason")
    assert repair_gaps(runtime, published) == []


def test_the_report_is_sent_once_when_all_runs_of_the_session_have_ended(
    made: Make, simulator: SimulatorServer
) -> None:
    """Not while the last of them goes on, not on a day off, and at the latest at ten."""
    runtime = made(schedule="stocks_5m=off; concepts_daily=off; industries_daily=off")
    sent: list[date] = []
    simulator.clock.set(at(f"{DAY}T15:40"))
    assert send_report_when_final(runtime, sent.append) is None
    runtime.ledger.end_run(
        run_of_slot(runtime, "stocks_daily", f"{DAY}T15:15"), RunState.COMMITTED, ""
    )
    last = run_of_slot(runtime, "stocks_5m_final", f"{DAY}T15:20")
    assert send_report_when_final(runtime, sent.append) is None
    runtime.ledger.end_run(last, RunState.PARTIAL, "one symbol")

    assert send_report_when_final(runtime, sent.append) == date(2025, 12, 31)
    assert send_report_when_final(runtime, sent.append) is None
    assert sent == [date(2025, 12, 31)]
    assert last_turn(runtime.database, "report") == DAY
    simulator.clock.set(at("2026-01-04T23:00"))
    assert send_report_when_final(runtime, sent.append) is None


def test_a_report_that_could_not_be_handed_over_is_sent_at_the_next_call_and_late_at_last(
    made: Make, simulator: SimulatorServer
) -> None:
    """A broker that is away costs ten minutes, not the mail; a run that hangs does not either."""
    runtime = made()
    sent: list[date] = []

    def refuse(_session: date) -> None:
        raise OSError("the broker is away")

    simulator.clock.set(at(f"{DAY}T22:00"))
    with pytest.raises(OSError, match="away"):
        send_report_when_final(runtime, refuse)
    assert send_report_when_final(runtime, sent.append) == date(2025, 12, 31)
