"""How soon a command's first task runs, what an idle worker weighs, and what imports cost."""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis
from celery import Celery

from pipeline.app import celery_config
from pipeline.bench import bare
from pipeline.bench.figures import Figure, Section, Target
from pipeline.bench.processes import clean_environment, stop
from pipeline.bench.redis_server import free_port, run_redis
from pipeline.bench.sections import Bench
from pipeline.bench.timing import Timed, in_turn
from pipeline.commands import COMMANDS
from pipeline.embedded_redis import redis_socket, redis_url
from pipeline.queues import STOCK_QUEUE
from pipeline.settings import Settings

_UP = ("-m", "pipeline.cli", "up", "--no-admin", "--no-schedule")
_SOON, _LIGHT = Target(1.0, "at most", "value"), Target(160.0, "at most", "value")
_PATIENCE_S = 60.0
_MIB = 1024
_TASK_MODULES = (
    "pipeline.app, pipeline.tasks, admin_tasks.tasks, admin_tasks.report_tasks, "
    "admin_tasks.backup_tasks, admin_tasks.cleanup_tasks"
)


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a stack.

    Attributes:
        first_task_s: From the command to the result of the first task.
        cpu_s: Of the worker, until it was idle.
        rss_mib: Of the idle worker, shared pages included.
        pss_mib: The same, a shared page divided by those who share it.
    """

    first_task_s: float
    cpu_s: float
    rss_mib: float
    pss_mib: float


def measure(bench: Bench) -> Section:
    """Start our stack and a bare one in turn, then import every entry point in turn.

    Raises:
        TimeoutError: A stack ran no task within a minute.
    """
    rounds, settles_s = bench.size(7, 1), bench.size(3, 1)
    section = Section(
        "Start-up",
        f"Median of {rounds} starts in turn, of `quantsync up --no-admin --no-schedule` on a home "
        "that is there (Redis, and the quant worker with 8 threads), and of a plain Celery worker "
        "with the same Redis and pool, both started at once. The task does nothing. Memory and CPU "
        f"are the worker's, {settles_s} s after its first task. Imports: each in a process of "
        "its own, Python's start included, compiled modules cached.",
    )
    environment = clean_environment()
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules are not what is asked for
    ours, plain = [], []
    for number in range(1 + rounds):  # the first makes the home, and compiles
        bench.say(f"start {number} of {rounds}")
        if number or not bench.quick:
            ours.append(_our_stack(bench.folder / "home", environment, settles_s))
            plain.append(_bare_stack(bench.folder / "bare", environment, settles_s))
    section.figures = [*_starts(ours[-rounds:], plain[-rounds:]), *_imports(bench, environment)]
    return section


def _starts(ours: list[Start], plain: list[Start]) -> Iterator[Figure]:
    for name, unit, attribute, target in (
        ("command to first task", "s", "first_task_s", _SOON),
        ("CPU of a quant worker until it is idle", "s", "cpu_s", None),
        ("memory of an idle quant worker, RSS", "MiB", "rss_mib", _LIGHT),
        ("memory of an idle quant worker, PSS", "MiB", "pss_mib", None),
    ):
        samples = tuple(getattr(start, attribute) for start in ours)
        reference = statistics.median(getattr(start, attribute) for start in plain)
        yield Figure(
            name, statistics.median(samples), unit, "a bare Celery worker", reference,
            target=target, samples=samples,
        )  # fmt: skip


def _our_stack(home: Path, environment: Mapping[str, str], settles_s: float) -> Start:
    broker, backend = redis_url(home, 1), redis_url(home, 2)
    celery = Celery("bench", set_as_current=False)
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic's, unknown to types
        celery_broker_url=broker,
        celery_result_backend=backend,
    )
    celery.conf.update(celery_config(settings))
    began = time.perf_counter()
    with (home.parent / "up.log").open("ab") as log:
        up = subprocess.Popen(  # noqa: S603
            [sys.executable, *_UP], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            env={**environment, "QUANTSYNC_HOME": str(home)}, cwd=home.parent,
        )  # fmt: skip
    try:
        _await_redis(redis.Redis(unix_socket_path=str(redis_socket(home))))
        celery.send_task("celery.accumulate", args=(1,), queue=STOCK_QUEUE).get(
            timeout=_PATIENCE_S, interval=0.002
        )
        took = time.perf_counter() - began
        time.sleep(settles_s)
        return _weigh(took, _child(up.pid, "worker"))
    finally:
        celery.close()
        # As Ctrl-C; a stack that does not end is a fault that must be seen.
        up.send_signal(signal.SIGINT)
        up.wait(_PATIENCE_S)


def _bare_stack(folder: Path, environment: Mapping[str, str], settles_s: float) -> Start:
    folder.mkdir(exist_ok=True)
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    command = [sys.executable, "-m", "celery", "-A", "pipeline.bench.bare", "-b", url]
    command += ["--result-backend", url, "worker", "-P", "threads", "-c", "8"]
    command += ["--without-gossip", "--without-mingle"]
    began = time.perf_counter()
    with (folder / "worker.log").open("ab") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log, env=dict(environment))  # noqa: S603
    plain = bare.app_on(url, url)
    try:
        with run_redis(folder, port):
            plain.send_task(bare.NO_OP).get(timeout=_PATIENCE_S, interval=0.002)
            took = time.perf_counter() - began
            time.sleep(settles_s)
            start = _weigh(took, worker.pid)
            plain.close()
            stop(worker)
    finally:
        stop(worker)
    return start


def _await_redis(client: redis.Redis) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    with client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise TimeoutError("the embedded Redis did not start") from None
                time.sleep(0.002)
            else:
                return


def _child(parent: int, word: str) -> int:
    """The child of a process in whose command a word stands."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return int(pid)
    raise LookupError(f"process {parent} has no child {word}")


def _weigh(first_task_s: float, pid: int) -> Start:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return Start(first_task_s, cpu_s, kib["Rss"] / _MIB, kib["Pss"] / _MIB)


def _imports(bench: Bench, environment: Mapping[str, str]) -> Iterator[Figure]:
    programs = {"quantsync": "pipeline.cli", "celery -A pipeline.app worker": _TASK_MODULES}
    programs |= {f"quantsync {name}": place.module for name, place in COMMANDS.items()}
    if find_spec("web") is not None and find_spec("web.app") is not None:
        programs["web application"] = "web.app"
    if bench.quick:
        programs = dict(list(programs.items())[:2])
    # Several commands share a module: each module once, named by its first command.
    named: dict[str, str] = {}
    for name, modules in programs.items():
        named.setdefault(modules, name)
    works = {"nothing": lambda: _python("pass", environment, bench.folder)} | {
        modules: lambda modules=modules: _python(f"import {modules}", environment, bench.folder)
        for modules in named
    }
    bench.say("imports")
    timed: dict[str, Timed] = in_turn(works, bench.size(5, 1))
    nothing = timed.pop("nothing")
    for modules, name in named.items():
        took = timed[modules]
        yield Figure(
            f"import for `{name}`", took.median_s, "s", "python -c pass", nothing.median_s,
            note=modules, samples=tuple(took.wall),
        )  # fmt: skip


def _python(program: str, environment: Mapping[str, str], folder: Path) -> None:
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=folder, check=True)  # noqa: S603
