"""Following runs to their end on a terminal, and telling how they ended."""

from collections.abc import Sequence
from typing import Any

from pipeline import output
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from pipeline.stack import Stack
from storage.errors import StorageError
from storage.run_records import SUCCESSES, RunStatus


def follow(stack: Stack, run_ids: Sequence[str], *, quiet: bool) -> list[RunStatus]:
    """Show the progress of runs until all have ended; how each did."""
    from pipeline.runs import follow_run  # noqa: PLC0415

    budget = ", ".join(str(w) for w in stack.runtime.settings.windows_for(stack.upstream))
    ended = []
    with output.RunProgress(quiet=quiet) as progress:

        def look_after() -> None:
            stack.supervise()
            try:
                for other in run_ids:
                    progress.show(stack.runtime.ledger.status(other), budget)
            except StorageError as error:
                if not error.transient:
                    raise
                progress.say(f"waiting: {error}")

        for run_id in run_ids:
            for status in follow_run(stack.runtime, run_id, each=look_after):
                last = status
            progress.show(last, budget)
            ended.append(last)
    return ended


def report(
    runtime: Runtime, status: RunStatus, settings: Settings, *, as_json: bool
) -> dict[str, Any]:
    """A run's end, told to a person unless JSON is wanted; the JSON of it."""
    outcomes = runtime.ledger.outcomes(status.run_id)
    if not as_json:
        landed = [
            f"Parquet {settings.lake_path}",
            f"SQL     {runtime.database.address}",
        ]
        output.show_run(status, outcomes, landed if status.bars_written else [])
    failures = [row for row in outcomes if row["outcome"] not in SUCCESSES]
    return output.run_document(status, failures)
