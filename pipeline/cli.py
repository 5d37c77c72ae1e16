"""The ``quantsync`` command."""

import json
import logging
import signal
import sys
from typing import Annotated

import typer

from market.errors import QuantsyncError, UsageError
from pipeline.commands import CommandsOnDemand

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="quantsync",
    cls=CommandsOnDemand,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Keep a complete, correct and fresh copy of China A-share market data.\n\n"
        "Exit codes: 0 done; 1 partial or failed; 2 wrong usage or configuration; 130 interrupted."
    ),
)


@app.callback()
def _root(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what happens, on stderr.")
    ] = False,
) -> None:
    level = logging.INFO if verbose else logging.ERROR
    # Warnings of libraries are for who asks for the log, also of those with a level of their own.
    shown = logging.StreamHandler(sys.stderr)
    shown.setLevel(level)
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[shown],
    )
    logging.captureWarnings(capture=True)
    if verbose:
        for noisy in ("alembic", "kombu", "celery", "filelock", "urllib3"):
            logging.getLogger(noisy).setLevel(logging.WARNING)


def main() -> None:
    """Run the command; every deliberate error becomes one sentence and an exit code."""
    for ended_by in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended_by, signal.default_int_handler)  # all stop as Ctrl-C does: in order
    try:
        # Without Click's own ending, the code of a typer.Exit comes back as the result.
        code = app(standalone_mode=False) or DONE
    except QuantsyncError as error:
        _complain(error.message, type(error).__name__, error.context)
        sys.exit(WRONG_USAGE if isinstance(error, UsageError) else FAILED)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        # Click's own usage errors know how to show themselves; anything else is a bug to see whole.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        sys.exit(getattr(error, "exit_code", WRONG_USAGE))
    if code == INTERRUPTED:
        sys.stderr.write(
            "interrupted: what was committed stays, the rest goes on at the next start\n"
        )
    sys.exit(code)


def _complain(message: str, kind: str, context: dict[str, object]) -> None:
    if "--json" in sys.argv:
        document = {"error": message, "type": kind, "context": context}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")
    sys.stderr.write(f"error: {message}\n")


if __name__ == "__main__":
    main()
