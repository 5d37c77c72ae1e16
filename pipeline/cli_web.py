"""``quantsync web``: the API and the page, in a process of their own."""

import os
import sys
from typing import Annotated

import typer

from pipeline.settings import read_settings


def register(root: typer.Typer) -> None:
    """Add ``web`` to the root command."""
    root.command("web", epilog="Example: quantsync web --listen 127.0.0.1:8000")(_web)


def _web(
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Default: WEB_LISTEN."),
    ] = None,
) -> None:
    """Serve the API and the page until Ctrl-C; beyond loopback only once a key was made."""
    read_settings()
    command = [sys.executable, "-m", "web"]
    command += [] if listen is None else ["--listen", listen]
    # It takes our place: this package lies below the web application, and imports nothing of it.
    os.execve(sys.executable, command, dict(os.environ))  # noqa: S606  (no shell)
