"""``quantsync inspect``, ``metrics`` and ``flower``: looking at what runs."""

import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from market.errors import QuantsyncError
from pipeline import output
from pipeline.attaching import attach, is_up
from pipeline.listening import AddressInUseError, listen_text, read_address
from pipeline.monitor_guard import flower_login
from pipeline.options import Json
from pipeline.runtime import Runtime
from pipeline.settings import read_settings

if TYPE_CHECKING:
    from pipeline.inspecting import Inspection, Task

Expose = Annotated[
    bool,
    typer.Option("--expose", help="Allow an address that others can reach."),
]


class NothingRunsError(QuantsyncError):
    """No stack is up that could be looked at."""


def register(root: typer.Typer) -> None:
    """Add the monitoring commands to the root command."""
    root.command("inspect", epilog="Example: quantsync inspect --json")(_inspect)
    root.command("metrics", epilog="Example: quantsync metrics --listen 127.0.0.1:9808")(_metrics)
    root.command("flower", epilog="Example: quantsync flower --listen 127.0.0.1:5555")(_flower)


def _inspect(as_json: Json = False) -> None:
    """What the workers do, and what waits in the queues.

    Exit code 1 if a queue has nobody who consumes it and answers.
    """
    settings = read_settings()
    if settings.is_embedded and not is_up(settings):
        raise NothingRunsError(
            f"nothing runs in {settings.home}: `quantsync up` starts a stack; workers "
            "elsewhere are found by CELERY_BROKER_URL"
        )
    attach(settings)
    from pipeline.inspecting import inspect_workers  # noqa: PLC0415  (the app: after the settings)

    found = inspect_workers()
    if as_json:
        output.print_json(
            {
                "workers": [asdict(worker) for worker in found.workers],
                "queues": [
                    {"queue": queue, "messages": depth, "consumers": found.consumers(queue)}
                    for queue, depth in found.depths.items()
                ],
            }
        )
    else:
        _show(found)
    if found.deserted:
        raise typer.Exit(1)


def _show(found: "Inspection") -> None:
    for worker in found.workers:
        done = ", ".join(f"{number} {name}" for name, number in worker.done.items())
        output.console.print(
            f"[bold]{worker.name}[/]  {worker.pool} at once on {', '.join(worker.queues)}; "
            f"{len(worker.registered)} tasks registered; done {done or 'nothing yet'}"
        )
        for what, tasks in (
            ("active", worker.active), ("reserved", worker.reserved),
            ("scheduled", worker.scheduled),
        ):  # fmt: skip
            for task in tasks:
                output.console.print(f"  {what:<10}{output.plain(_said(task))}")
    if not found.workers:
        output.console.print("[red]no worker answers[/]: `make worker`, `make worker-admin`")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("queue", "waiting", "consumed by"):
        table.add_column(name, justify="right" if name == "waiting" else "left", no_wrap=True)
    for queue, depth in found.depths.items():
        consumers = ", ".join(found.consumers(queue))
        table.add_row(queue, f"{depth:,}", consumers or "[red]nobody who answers[/]")
    output.console.print(table)


def _said(task: "Task") -> str:
    since = "" if task.since is None else f" for {max(0.0, time.time() - task.since):.0f} s"
    due = "" if task.due is None else f" at {task.due}"
    return f"{task.name}({task.arguments}){since}{due}"


def _metrics(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where collectors ask.")
    ] = "127.0.0.1:9808",
    expose: Expose = False,
) -> None:
    """Serve the metrics of `status --metrics` over HTTP.

    They are read at each scrape from the ledger, the broker and the budgets: one such process is
    enough for any number of workers. It has no password, so it listens on loopback only.
    """
    host, port = read_address(listen, expose=expose)
    runtime = Runtime(attach(read_settings()))
    _ = runtime.database
    from prometheus_client import start_http_server  # noqa: PLC0415
    from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415

    from pipeline.metrics import InstallationCollector  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(InstallationCollector(runtime))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise AddressInUseError(
            f"--listen {listen} cannot be listened at ({error.strerror}): name another port",
            {"listen": listen},
        ) from error
    output.messages.print(f"metrics at http://{listen_text(host, server.server_port)}/metrics")
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()


def _flower(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where browsers ask.")
    ] = "127.0.0.1:5555",
    expose: Expose = False,
) -> None:
    """Run the monitor Flower behind basic auth; never without it.

    FLOWER_BASIC_AUTH=user:password must be set, in the environment or in .env. Flower keeps nothing
    on disk.
    """
    host, port = read_address(listen, expose=expose)
    settings = attach(read_settings())
    environment = {
        **os.environ,
        # In the environment, not on the command line, where every user could see it.
        "FLOWER_BASIC_AUTH": flower_login(settings),
        "CELERY_BROKER_URL": settings.broker_url,
        "CELERY_RESULT_BACKEND": settings.result_backend,
    }
    command = [sys.executable, "-m", "celery", "-A", "pipeline.app", "flower"]
    command += [f"--address={host}", f"--port={port}", "--persistent=False"]
    os.execve(sys.executable, command, environment)  # noqa: S606  (no shell; it takes our place)
