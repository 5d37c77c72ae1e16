"""``python -m pipeline.celery_process worker …``: Celery's worker or beat, and nothing beside it.

The ``celery`` command imports its shell and every plug-in before it looks at what is asked for:
prompt_toolkit and Flower, a quarter of a second of CPU and 20 MiB. The options are the same.
"""

import sys
from importlib import import_module

from celery.bin.base import CLIContext

COMMANDS = ("worker", "beat")


def main(arguments: list[str]) -> None:
    """Run the command that is named first, on our app."""
    name, *rest = arguments
    if name not in COMMANDS:
        raise SystemExit(f"{name!r} is no process of quantsync: use {' or '.join(COMMANDS)}")
    from pipeline.app import app  # noqa: PLC0415 - it reads the settings

    command = getattr(import_module(f"celery.bin.{name}"), name)
    context = CLIContext(app=app, no_color=None, workdir=None, quiet=False)
    # As below the whole command: CELERY_WORKER_… would set options there, too.
    prefix = f"CELERY_{name.upper()}"
    command.main(args=rest, prog_name=f"celery {name}", obj=context, auto_envvar_prefix=prefix)


if __name__ == "__main__":
    main(sys.argv[1:])
