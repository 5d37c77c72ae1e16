"""Tasks that raise, kept in the ledger until they succeed again: results expire within the hour."""

import logging

from pipeline.runtime import Runtime
from storage.errors import StorageError
from storage.vital_signs import forget_failure, note_failure

log = logging.getLogger(__name__)

_TOLD_BY_THE_LEDGER = ("pipeline.fetch_batch", "pipeline.commit_wave")
"""There are thousands of them; what becomes of each stands in the ledger anyway."""


def failed(runtime: Runtime, task: str, task_id: str, error: object) -> None:
    """Note a failure; where the ledger is away the worker's log has it."""
    try:
        note_failure(runtime.database, task, task_id, f"{type(error).__name__}: {error}")
    except StorageError as trouble:
        log.warning("that %s failed could not be kept: %s", task, trouble)


def succeeded(runtime: Runtime, task: str) -> None:
    """Forget its failure, if there was one."""
    if task in _TOLD_BY_THE_LEDGER:
        return
    try:
        forget_failure(runtime.database, task)
    except StorageError as trouble:
        log.warning("that %s succeeded could not be kept: %s", task, trouble)
