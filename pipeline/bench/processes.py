"""Worker processes of a benchmark or a test, started as the Makefile starts them."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.settings import Settings


def clean_environment() -> dict[str, str]:
    """This process's variables without quantsync's settings: a benchmark must not meet its stores.

    Start what gets them in a folder without a ``.env``.
    """
    settings = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name.upper() not in settings}


def worker(
    environment: dict[str, str],
    log: Path,
    *,
    name: str = "quant",
    threads: int = 8,
    pool: str = "threads",
    queues: str = "quant_stock_queues,quant_concept_queues,quant_industry_queues",
    more: Sequence[str] = (),
    folder: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """A plain Celery worker, as ``make worker`` starts it; a folder's ``.env`` counts there."""
    command = [sys.executable, "-m", "celery", "-A", "pipeline.app", "worker", "-Q", queues]
    command += ["-n", f"{name}@%h", "-P", pool, "-c", str(threads)]
    command += ["--without-gossip", "--without-mingle", "--loglevel", "INFO", *more]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            command, env=environment, cwd=folder, stdout=output, stderr=output
        )


def stop(*processes: "subprocess.Popen[Any]") -> None:
    """End processes started here, and wait for them."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
