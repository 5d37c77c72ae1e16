"""Commands that stay in the foreground: the embedded stack, and the market simulator."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.options import UpstreamName
from pipeline.settings import read_settings

if TYPE_CHECKING:
    from pipeline.embedded import EmbeddedStack
    from pipeline.supervising import Supervision


def register(root: typer.Typer) -> None:
    """Add the serving commands to the root command."""
    root.command("up", epilog="Example: quantsync up --upstream simulator")(_up)
    root.command(
        "simulator",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        add_help_option=False,
        epilog="Example: quantsync simulator --port 8900 --seed 7 --symbols 500",
    )(_simulator)


def _up(
    upstream: UpstreamName = None,
    admin: Annotated[
        bool, typer.Option("--admin/--no-admin", help="Start the admin worker too.")
    ] = True,
    schedule: Annotated[
        bool, typer.Option("--schedule/--no-schedule", help="Begin scheduled runs, too.")
    ] = True,
    web: Annotated[
        bool | None,
        typer.Option("--web/--no-web", help="Serve the API and the page, too. Default: WEB_UP."),
    ] = None,
) -> None:
    """Run the whole embedded stack until Ctrl-C: Redis, workers, scheduler, a simulator if asked.

    Scheduled runs begin by themselves: every 5 minutes of trading one sweep of the whole market and
    the symbols of WATCH_LIST singly, the day's bars at 15:15, official minute bars and boards after
    that; `quantsync schedule` prints them all.
    """
    from pipeline.embedded import EmbeddedStack  # noqa: PLC0415
    from pipeline.listening import check_free, check_guarded  # noqa: PLC0415
    from pipeline.settings import use_settings  # noqa: PLC0415
    from pipeline.stack import open_stores, simulator_arguments  # noqa: PLC0415
    from pipeline.upstreams import SIMULATOR  # noqa: PLC0415

    settings = read_settings()
    serves = settings.web_up if web is None else web
    if serves:
        check_free(settings.web_listen)
        check_guarded(lambda: open_stores(settings).database, settings.web_listen)

    def check() -> None:
        runtime = open_stores(settings)
        if schedule:
            from pipeline.ticks import check_schedule  # noqa: PLC0415

            check_schedule(runtime)

    chosen = upstream or settings.quantsync_upstream
    arguments = simulator_arguments(settings) if chosen == SIMULATOR else None
    with EmbeddedStack(
        settings,
        simulator=arguments,
        admin=admin,
        beat=schedule,
        web=chosen if serves else None,
        meanwhile=check,
    ) as stack:
        from pipeline import output  # noqa: PLC0415 - beside the start of the stack's processes

        if not stack.owned:
            output.console.print(f"the stack of {settings.home} is already up")
            raise typer.Exit(1)
        use_settings(settings.model_copy(update=stack.overrides))
        from pipeline.runtime import current_runtime  # noqa: PLC0415
        from pipeline.supervising import supervised  # noqa: PLC0415

        with supervised(stack, current_runtime()) as supervision:
            _serve(supervision, stack, settings.web_listen if serves else None)


def _serve(supervision: "Supervision", stack: "EmbeddedStack", web: str | None) -> None:
    from pipeline import output  # noqa: PLC0415

    for run_id in supervision.resumed:
        output.console.print(f"run {run_id}, left unfinished, goes on")
    output.console.print(f"up: logs in {stack.settings.home / 'logs'}; stop with Ctrl-C")
    if web is not None:
        output.console.print(f"  page and API: http://{web}")
    for name, value in stack.environment.items():
        output.console.print(f"  {name}={value}")
    try:
        while True:
            supervision.look_after()
            time.sleep(0.5)
    except KeyboardInterrupt:
        output.console.print("stopping")


def _simulator(context: typer.Context) -> None:
    """Serve a market offline; --help lists its options (seed, symbols, clock, faults, replay)."""
    from ingest.simulator.cli import main  # noqa: PLC0415

    sys.exit(main(context.args, program="quantsync simulator"))
