"""What ``quantsync doctor`` finds of the services: broker, workers, beat, clocks, tasks, emails.

The three classic cases are told apart: a worker does not answer, a task failed, beat does not fire.
"""

import time
from collections.abc import Iterator, Sequence

import redis

from pipeline.attaching import attach, is_up
from pipeline.broker import BrokerUnreachableError, check_broker
from pipeline.budgets import plain_redis_url
from pipeline.findings import ERROR, OK, WARNING, Finding, asked, duration
from pipeline.queues import QUANT_QUEUES
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from scheduling.beat import TICK_MINUTES
from storage.email_ledger import EmailLedger
from storage.email_records import DeliveryState, EmailEntry
from storage.run_records import RunState
from storage.vital_signs import BEAT, TICK, Sign, read_clocks, read_failures, read_signs

_SKEW_S, _UPSTREAM_SKEW_S = 2.0, 3.0
_STALE_CLOCK_S = 86_400.0
_BEAT_AT_LEAST_S = 90.0
_BEAT_OF_THIS_STACK_S = 3600.0
_RUNS_SHOWN, _EMAILS_SEEN = 50, 1000
_UNCERTAIN_FOR_S = 7 * 86_400.0
"""Whoever has not looked by then will not; the ledger keeps it."""


def broker_findings(settings: Settings) -> Iterator[Finding]:
    """Broker, result backend, and the Redis that keeps the budgets."""
    if settings.is_embedded and not _embedded_answers(settings):
        yield Finding("broker", OK, "none is configured: commands bring their own (embedded)")
        return
    attached = attach(settings)

    def answers() -> Finding:
        check_broker()
        return Finding("broker", OK, "answers")

    yield asked("broker", answers, "start it, or correct CELERY_BROKER_URL")
    yield asked(
        "backend",
        lambda: _redis("backend", attached.result_backend),
        "start it, or correct CELERY_RESULT_BACKEND: the next wave of a run waits for it",
    )
    yield asked(
        "budget",
        lambda: _redis("budget", attached.budget_url),
        "start Redis, or correct BUDGET_REDIS_URL: nothing is sent until",
    )


def _embedded_answers(settings: Settings) -> bool:
    if not is_up(settings):
        return False
    try:
        _redis("broker", attach(settings).broker_url)
    except redis.RedisError:
        return False  # a socket whose Redis was killed
    return True


def _redis(what: str, url: str) -> Finding:
    """Ask a Redis for its time.

    Raises:
        RedisError: It does not answer.
    """
    began = time.time()
    with redis.Redis.from_url(
        plain_redis_url(url), socket_timeout=3, socket_connect_timeout=3
    ) as client:
        seconds, micros = client.time()
    skew = seconds + micros / 1e6 - (began + time.time()) / 2
    if abs(skew) > _SKEW_S:
        return Finding(
            what,
            WARNING,
            f"its Redis answers, but its clock is {skew:+.1f} s off this machine's",
            "let both follow a time server: budgets and bans are told by Redis's clock",
        )
    return Finding(what, OK, "its Redis answers")


def worker_findings(runtime: Runtime) -> Iterator[Finding]:
    """Who consumes each queue, and answers."""
    settings = runtime.settings
    if settings.is_embedded and not _embedded_answers(settings):
        return
    from pipeline.inspecting import consumers_by_queue  # noqa: PLC0415  (the app: late)

    try:
        found = consumers_by_queue()
    except BrokerUnreachableError:
        return  # said of the broker
    for worker in found.workers:
        queues = ", ".join(worker.queues)
        yield Finding(f"worker {worker.name}", OK, f"answers; consumes {queues}")
    for queue in found.deserted:
        waiting = found.depths[queue]
        is_quant = queue in QUANT_QUEUES
        if settings.is_embedded and not is_quant and not waiting:
            continue  # a command that waits for its run brings no admin worker
        target = "make worker" if is_quant else "make worker-admin"
        yield Finding(
            f"queue {queue}",
            ERROR if is_quant or waiting or not settings.is_embedded else WARNING,
            f"a worker does not answer, or none was started: nobody consumes it, and {waiting} "
            f"messages wait{_last_signs(settings, is_quant=is_quant)}",
            f"start one (`{target}`), or read the log of the one that should; kill one that hangs: "
            "what it held goes to the next",
        )


def _last_signs(settings: Settings, *, is_quant: bool) -> str:
    """When workers of this home that might consume a queue last showed that they live."""
    prefix = "quant" if is_quant else "admin"
    files = sorted((settings.home / "workers").glob(f"{prefix}*.alive"))
    ages = [(file.stem, time.time() - file.stat().st_mtime) for file in files]
    said = ", ".join(f"{name} {duration(age)} ago" for name, age in ages)
    return f" (last sign of life here: {said})" if said else ""


def beat_findings(runtime: Runtime) -> Iterator[Finding]:
    """When beat sent something last, and whether somebody does what it asks."""
    settings, signs = runtime.settings, read_signs(runtime.database)
    beat = signs.get(BEAT)
    if settings.is_embedded and not _embedded_answers(settings):
        yield Finding("beat", OK, f"{_ticked(beat)}; `quantsync up` keeps the schedule")
        return
    late_after = max(_BEAT_AT_LEAST_S, 3 * settings.reconcile_every_s)
    if beat is not None and beat.ago_s <= late_after:
        yield Finding("beat", OK, _ticked(beat))
        yield from _ticks(signs.get(TICK))
        return
    yield Finding(
        "beat",
        ERROR if beat is not None and _should_fire(settings, beat) else WARNING,
        f"beat does not fire: {_ticked(beat)}, so nothing begins by itself",
        "start it (`make beat`, or `quantsync up`) or read its log; the first tick serves what "
        "was missed of the day",
    )


def _should_fire(settings: Settings, beat: Sign) -> bool:
    """Whether a beat that has fired here is missed: commands bring an embedded stack without."""
    return not settings.is_embedded or beat.ago_s < _BEAT_OF_THIS_STACK_S


def _ticks(served: Sign | None) -> Iterator[Finding]:
    if served is not None and served.ago_s > 3 * TICK_MINUTES * 60:
        yield Finding(
            "ticks",
            ERROR,
            f"beat fires, and no worker does what it says: a tick was served last "
            f"{duration(served.ago_s)} ago",
            "start the admin worker (`make worker-admin`), or read its log",
        )


def _ticked(beat: Sign | None) -> str:
    return "it has never ticked here" if beat is None else f"ticked {duration(beat.ago_s)} ago"


def clock_findings(runtime: Runtime) -> Iterator[Finding]:
    """Upstreams' clocks, as their last answers told; nothing is sent to ask for it."""
    for clock in read_clocks(runtime.database):
        if clock.ago_s > _STALE_CLOCK_S:
            continue
        told = f"{clock.off_s:+.1f} s off this machine's, as it told {duration(clock.ago_s)} ago"
        if abs(clock.off_s) > _UPSTREAM_SKEW_S:
            yield Finding(
                f"clock of {clock.domain}",
                WARNING,
                told,
                "let this machine follow a time server: its clock says which slot is due and which "
                "bar is final",
            )
        else:
            yield Finding(f"clock of {clock.domain}", OK, told)


def failure_findings(runtime: Runtime) -> Iterator[Finding]:
    """Tasks that raised and have not succeeded since, and runs of which the newest is not whole."""
    for failure in read_failures(runtime.database):
        yield Finding(
            f"task {failure.task}",
            ERROR,
            f"it failed {duration(failure.ago_s)} ago: {failure.reason}",
            f"the worker's log has the whole of it under {failure.task_id}; this goes when it "
            "succeeds",
        )
    seen: set[tuple[str, str | None, str]] = set()
    for run in runtime.ledger.runs(_RUNS_SHOWN):
        sort = (run.kind, run.period, run.lane)
        if sort in seen or not run.state.is_end:
            continue
        seen.add(sort)
        if run.state is not RunState.COMMITTED:
            yield Finding(
                f"run {run.run_id}",
                WARNING,
                f"the newest of {run.kind} {run.period} {run.lane} ended as {run.state.value}: "
                f"{run.reason or 'some fetches did not succeed'}",
                f"`quantsync runs {run.run_id} --failures` says why; the next one fetches the rest",
            )


def email_findings(runtime: Runtime) -> Iterator[Finding]:
    """Emails that nobody will try again, and those of which nobody knows whether they arrived."""
    entries = EmailLedger(runtime.database).entries(
        only={DeliveryState.UNCERTAIN},
        overdue=runtime.settings.email_retry_s,
        limit=_EMAILS_SEEN,
    )
    unsure = {DeliveryState.UNCERTAIN, DeliveryState.SENDING}
    left = [each for each in entries if each.delivery.state not in unsure]
    if left:
        yield Finding(
            "emails deferred",
            WARNING,
            f"{len(left)} recipients were not sent theirs, and nobody will try again: the command "
            f"or task is gone ({_first(left)})",
            "`quantsync emails --failed` names them; send it again under the same key",
        )
    since = time.time() - _UNCERTAIN_FOR_S
    lost = [each for each in entries if each not in left and each.delivery.changed_at > since]
    if lost:
        yield Finding(
            "emails uncertain",
            WARNING,
            f"{len(lost)} recipients of the last week may or may not have theirs, so it is not "
            f"sent again ({_first(lost)})",
            "`quantsync emails --failed` names them: ask whether it arrived; to send it anew, use "
            "another key",
        )


def _first(entries: Sequence[EmailEntry]) -> str:
    more = ", …" if len(entries) > 1 else ""
    return f"{entries[0].delivery.recipient}, key {entries[0].key}{more}"
