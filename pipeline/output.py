"""What the command line shows: one JSON document for machines, tables and sentences for people."""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from market.clock import EXCHANGE_TZ
from storage.run_records import SUCCESSES, RunState, RunStatus, Work

if TYPE_CHECKING:
    from storage.repair import PartitionRepair
    from storage.verification import PartitionCheck

# Where no terminal tells its width (a pipe, a log), tables get room enough for a run's line.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
messages = Console(stderr=True, highlight=False, soft_wrap=True)

_STYLES = {RunState.COMMITTED: "green", RunState.PARTIAL: "yellow", RunState.FAILED: "red"}
_SHOWN_FAILURES = 10
_WORKS = {
    Work.SYMBOL_LIST: "symbol list",
    Work.KLINE: "klines",
    Work.BOARD_LIST: "board list",
    Work.BOARD_MEMBERS: "members",
    Work.MEMBER_SWEEP: "members by the symbol list",
    Work.BOARD_KLINE: "klines",
    Work.EX_RIGHT: "ex-rights",
}


def json_text(document: object) -> str:
    """A JSON document as text, for people to read too."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=_plain) + "\n"


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json_text(document))


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, tuple | set):
        return list(value)
    return str(value)


def plain(text: str) -> str:
    """Text that is not to be read as markup."""
    return escape(text)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 request``, ``1,204 bars``, ``2 batches``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def local_time(epoch: float | None) -> str:
    """An instant in Shanghai, for people."""
    if epoch is None:
        return "–"
    return f"{datetime.fromtimestamp(epoch, UTC).astimezone(EXCHANGE_TZ):%Y-%m-%d %H:%M:%S}"


def run_document(status: RunStatus, failures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A run as JSON: what was asked, what was written, and what was not and why."""
    return {
        "run_id": status.run_id,
        "state": status.state.value,
        "dataset": status.kind,
        "period": status.period,
        "window": {"from": status.params.get("from"), "to": status.params.get("to")},
        "upstream": status.upstream,
        "symbols": sum(status.outcomes.values()) + int(status.params.get("complete") or 0),
        "outcomes": status.outcomes,
        "ex_rights": status.ex_rights,
        "bars_written": status.bars_written,
        "requests": status.requests,
        "waves": status.waves,
        "batches": status.batches,
        "elapsed_s": round(status.elapsed_s, 3),
        "reason": status.reason,
        "notices": status.notices,
        "failures": [
            {k: row[k] for k in ("work", "subject", "outcome", "reason")} for row in failures
        ],
    }


def show_run(status: RunStatus, outcomes: Sequence[dict[str, Any]], landed: Sequence[str]) -> None:
    """A run's end for people, from its status and all its outcomes."""
    failures = [row for row in outcomes if row["outcome"] not in SUCCESSES]
    style = _STYLES.get(status.state, "cyan")
    window = f"{status.params.get('from')} … {status.params.get('to')}"
    console.print(
        f"[bold]{status.kind}[/] {status.period} {window}: [{style}]{status.state.value}[/] "
        f"in {status.elapsed_s:.1f} s (run {status.run_id})"
    )
    console.print(f"  outcomes  {_outcomes_by_work(outcomes) or 'nothing to do'}")
    console.print(
        f"  written   {counted(status.bars_written, 'bar')} with "
        f"{counted(status.requests, 'request')} in {counted(status.batches, 'batch', 'batches')}, "
        f"{counted(status.waves, 'wave')}"
    )
    for place in landed:
        console.print(f"            {place}")
    for notice in status.notices:
        console.print(f"  note      {notice}")
    for row in failures[:_SHOWN_FAILURES]:
        console.print(
            f"  [yellow]not done[/]  {row['subject']} ({row['outcome']}): {row['reason']}"
        )
    if len(failures) > _SHOWN_FAILURES:
        console.print(
            f"            and {len(failures) - _SHOWN_FAILURES} more: "
            f"quantsync runs {status.run_id} --failures"
        )


def _outcomes_by_work(outcomes: Sequence[dict[str, Any]]) -> str:
    """``symbol list: 1 ok; klines: 57 ok, 3 delisted``, in the order of a run."""
    counts: dict[str, Counter[str]] = {}
    for row in outcomes:
        counts.setdefault(row["work"], Counter())[row["outcome"]] += 1
    return "; ".join(
        f"{words}: " + ", ".join(f"{n:,} {name}" for name, n in sorted(counts[work].items()))
        for work, words in _WORKS.items()
        if work in counts
    )


def runs_table(runs: Sequence[RunStatus]) -> Table:
    """Runs, newest first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (
        "run",
        "what",
        "state",
        "started (Shanghai)",
        "done",
        "bars",
        "requests",
        "reason",
    ):
        numeric = name in ("done", "bars", "requests")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=name == "run")
    for run in runs:
        style = _STYLES.get(run.state, "cyan")
        table.add_row(
            run.run_id,
            f"{run.kind} {run.period or ''}",
            f"[{style}]{run.state.value}[/]",
            local_time(run.created_at),
            f"{run.done}/{run.items}",
            f"{run.bars_written:,}",
            str(run.requests),
            run.reason or "",
        )
    return table


def status_json(status: RunStatus) -> dict[str, Any]:
    """Every field of a run's status."""
    return {**asdict(status), "state": status.state.value}


def fields_json(record: "PartitionCheck | PartitionRepair") -> dict[str, Any]:
    """Every field of a partition's comparison or repair."""
    return {key: _plain_name(value) for key, value in asdict(record).items()}


def _plain_name(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


class RunProgress:
    """Progress of runs on stderr: bars on a terminal, a line every few seconds elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._tasks: dict[str, TaskID] = {}
        self._said_at: dict[str, float] = {}
        self._began = time.monotonic()
        self._hinted = False
        self._said = ""
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=messages,
            disable=quiet or not messages.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, status: RunStatus, budget: str) -> None:
        """Show where a run stands."""
        rate = status.requests / status.elapsed_s if status.elapsed_s > 0 else 0.0
        detail = f"{counted(status.bars_written, 'bar')} · {rate:.1f} req/s of {budget}"
        if messages.is_terminal:
            task = self._tasks.get(status.run_id)
            if task is None:
                task = self._progress.add_task(status.kind, total=status.items, detail=detail)
                self._tasks[status.run_id] = task
            self._progress.update(task, completed=status.done, total=status.items, detail=detail)
        elif not self._quiet and time.monotonic() - self._said_at.get(status.run_id, 0) > 5:  # noqa: PLR2004
            self._said_at[status.run_id] = time.monotonic()
            messages.print(f"{status.kind}: {status.done} of {status.items} fetched, {detail}")
        if status.trouble and not status.state.is_end:
            self.say(f"the commit waits: {status.trouble}")
        self._hint_if_nobody_works(status)

    def say(self, sentence: str) -> None:
        """A sentence for a person on stderr, once until another one is said."""
        if sentence != self._said:
            self._said = sentence
            messages.print(f"[yellow]{escape(sentence)}[/]")

    def _hint_if_nobody_works(self, status: RunStatus) -> None:
        waited = time.monotonic() - self._began
        if self._hinted or status.batches_leased or status.state.is_end or waited < 10:  # noqa: PLR2004
            return
        self._hinted = True
        messages.print(
            "[yellow]no worker has taken a batch yet[/]: is one consuming the quant queues? "
            "(`make worker`)"
        )
