"""The contract as a file of the project, and whether the AKShare installed is the one recorded."""

import json
import logging
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FILE = Path(__file__).with_name("akshare.json")
COMMAND = "quantsync doctor --contracts"


def read_contract(file: Path = FILE) -> dict[str, Any]:
    """The contract recorded."""
    contract: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return contract


def write_contract(contract: dict[str, Any], file: Path = FILE) -> None:
    """Record a contract anew, one fact a line, so that a review shows what changed."""
    text = json.dumps(contract, ensure_ascii=False, indent=1)
    file.write_text(f"{text}\n", encoding="utf-8")


def versions() -> tuple[str | None, str]:
    """AKShare's version as installed (None: it is not) and as recorded; imports nothing of it."""
    try:
        installed = version("akshare")
    except PackageNotFoundError:
        installed = None
    return installed, str(read_contract()["akshare"])


@lru_cache(maxsize=1)
def warn_of_another_version() -> None:
    """Say once in a process's log if AKShare is not the version that the contract was made with."""
    installed, recorded = versions()
    if installed != recorded:
        log.warning(
            "AKShare %s is installed, and its contract was recorded with %s: `%s` shows what "
            "changed",
            installed,
            recorded,
            COMMAND,
        )
