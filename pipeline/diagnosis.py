"""What is stuck, why, and what happens next; and whether each part that a sync needs is there."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ingest.sources.contracts.kept import COMMAND, versions
from pipeline.findings import ERROR, OK, WARNING, Finding, asked, duration
from pipeline.identity import is_known_dead
from pipeline.runtime import Runtime
from pipeline.service_findings import (
    beat_findings,
    broker_findings,
    clock_findings,
    email_findings,
    failure_findings,
    worker_findings,
)
from storage.files import check_writable
from storage.recovery import OpenBatch
from storage.run_records import RunStatus

_NO_ROOM, _LITTLE_ROOM = 32 << 20, 1 << 30
_SKEW_S = 2.0


def examine(runtime: Runtime) -> list[Finding]:
    """Look at everything a sync needs, and at every run that has not ended."""
    findings = [_place("home", runtime.settings.home)]
    findings += [_place("lake", runtime.lake.root), _place("staging", runtime.staging.root)]
    findings.append(_akshare())
    database = asked(
        "database",
        lambda: _database(runtime),
        "check DATABASE_URL, and that the server is up; `quantsync up` and workers wait for it",
    )
    findings += [database, *broker_findings(runtime.settings)]
    if database.level != ERROR:
        findings += worker_findings(runtime)
        findings += beat_findings(runtime)
        findings += clock_findings(runtime)
        findings += failure_findings(runtime)
        findings += email_findings(runtime)
        findings.append(_reconciler(runtime))
        findings += _leases(runtime)
        findings += _runs(runtime)
    return findings


def outlook(runtime: Runtime, status: RunStatus) -> list[str]:
    """What a run that has not ended waits for, and what will happen: a sentence each."""
    said = []
    batches = runtime.recovery.open_batches(status.run_id)
    worked = [b for b in batches if b.left_s is not None and b.left_s >= 0]
    expired = [b for b in batches if b.left_s is not None and b.left_s < 0]
    waiting = [b for b in batches if b.left_s is None]
    if worked:
        said.append(f"{_batches(worked)} in work, by {len({b.owner for b in worked})} processes")
    if expired:
        worst = -min(b.left_s or 0.0 for b in expired)
        said.append(
            f"{_batches(expired)} without a sign of life: the lease ran out {worst:.0f} s ago; the "
            "next reconciler hands it out again"
        )
    if waiting:
        longest = max(b.published_s or 0.0 for b in waiting)
        said.append(f"{_batches(waiting)} in the queue, for {longest:.0f} s at most")
    said += [
        f"batch {b.batch_no} has lost {b.lost} workers: it is tried alone, and given up after "
        f"{runtime.settings.batch_max_attempts}"
        for b in batches
        if b.suspect
    ]
    if status.trouble:
        said.append(f"the commit waits, and is tried again: {status.trouble}")
    ready = runtime.recovery.waves_to_commit(status.run_id, 0.0)
    if ready and not status.trouble:
        said.append(f"wave {ready[0]} is fetched and about to be committed")
    return [*said, _deadline(status)]


def _batches(batches: list[OpenBatch]) -> str:
    return f"{len(batches)} batch{'es' if len(batches) > 1 else ''}"


def _deadline(status: RunStatus) -> str:
    left = status.deadline_at - (status.created_at + status.elapsed_s)
    if left < 0:
        return (
            f"its deadline passed {-left:.0f} s ago: the next reconciler commits what is there and "
            "ends it as partial"
        )
    return f"whatever is not done in {duration(left)} ends as partial"


def _place(what: str, folder: Path) -> Finding:
    def look() -> Finding:
        check_writable(folder)
        free = shutil.disk_usage(folder).free
        if free < _NO_ROOM:
            return Finding(what, ERROR, f"{folder} has {free >> 20} MiB left", "make room")
        if free < _LITTLE_ROOM:
            return Finding(what, WARNING, f"{folder} has {free >> 20} MiB left", "make room")
        return Finding(what, OK, f"{folder} can be written, {free >> 30} GiB left")

    return asked(what, look, "make room or give permission, or name another place")


def _akshare() -> Finding:
    installed, recorded = versions()
    if installed == recorded:
        return Finding("akshare", OK, f"{installed}, as its contract was recorded")
    return Finding(
        "akshare",
        WARNING,
        f"{installed or 'none'} is installed, and its contract was recorded with {recorded}",
        f"`{COMMAND}` shows what changed and what relies on it",
    )


def _database(runtime: Runtime) -> Finding:
    began = time.time()
    runtime.database.check()
    with runtime.database.reading() as connection:
        skew = runtime.database.now(connection) - (began + time.time()) / 2
    address = runtime.database.address
    if abs(skew) > _SKEW_S:
        return Finding(
            "database",
            WARNING,
            f"{address} can be written, but its clock is {skew:+.1f} s off this machine's",
            "let both follow a time server: sessions are told by this machine's clock",
        )
    return Finding("database", OK, f"{address} can be written")


def _reconciler(runtime: Runtime) -> Finding:
    ago = runtime.recovery.reconciled_s()
    running = runtime.recovery.running()
    every = runtime.settings.reconcile_every_s
    if not running:
        return Finding("reconciler", OK, "no run is under way: there is nothing to heal")
    if ago is not None and ago < 3 * every:
        return Finding("reconciler", OK, f"looked {ago:.0f} s ago, and does every {every:.0f} s")
    when = "never looked" if ago is None else f"last looked {duration(ago)} ago"
    return Finding(
        "reconciler",
        ERROR,
        f"{when}: nobody heals what gets stuck",
        "start beat and the admin worker (`make beat`, `make worker-admin`) or `quantsync up`; "
        "`quantsync repair` does it once",
    )


def _leases(runtime: Runtime) -> Iterator[Finding]:
    for run_id, wave in runtime.recovery.half_committed():
        yield Finding(
            f"run {run_id}",
            WARNING,
            f"it ended before the commit of its wave {wave} was done: the stores may differ",
            "the next reconciler makes them the same; `quantsync repair` does so now",
        )
    for owner in sorted(filter(is_known_dead, runtime.recovery.lease_owners())):
        yield Finding(
            "lease",
            WARNING,
            f"the process {owner} is gone and still holds work",
            "the next reconciler gives it back; `quantsync repair` does so now",
        )


def _runs(runtime: Runtime) -> Iterator[Finding]:
    for run_id in runtime.recovery.running():
        status = runtime.ledger.status(run_id)
        said = "; ".join(outlook(runtime, status))
        stuck = status.trouble is not None or any(
            b.suspect or (b.left_s or 0.0) < 0 for b in runtime.recovery.open_batches(run_id)
        )
        yield Finding(
            f"run {run_id}",
            WARNING if stuck else OK,
            f"{status.kind} {status.period}: {status.done} of {status.items} fetched; {said}",
            f"`quantsync repair {run_id}` finishes it now, with --abandon gives it up"
            if stuck
            else None,
        )
