"""Every request that writes is entered in the audit before it is done, and its end after it."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from market.errors import QuantsyncError
from storage.api_requests import ApiRequests
from storage.errors import StorageError
from web.keys import Caller
from web.problems import status_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Entry:
    """What is to be noted of a request when it has been answered.

    Attributes:
        status: Of the answer.
        about: What came of it.
    """

    status: int = 202
    about: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def audited(
    request: Request, caller: Caller, about: Mapping[str, object]
) -> AsyncIterator[Entry]:
    """Enter a request that writes; the page's routes use it as the API's do.

    Args:
        request: As it came.
        caller: Who asks.
        about: What is asked for.

    Raises:
        StorageError: It cannot be entered: nothing is done then.
    """
    services = request.app.state.services
    requests = ApiRequests(services.runtime.database)
    number = await services.writers.run(
        requests.begin,
        key_id=caller.key.key_id if caller.key else None,
        via=caller.via.value,
        address=request.client.host if request.client else "",
        method=request.method,
        path=request.url.path,
        about=about,
    )
    entry = Entry()
    try:
        yield entry
    except BaseException as error:
        entry.status = status_of(error) if isinstance(error, QuantsyncError) else 500
        entry.about["refused"] = str(error)[:500]
        raise
    finally:
        try:
            await services.writers.run(requests.end, number, entry.status, entry.about)
        except QuantsyncError as error:
            # It was begun, and says so; the answer is true without it.
            level = logging.WARNING if isinstance(error, StorageError) else logging.ERROR
            log.log(level, "the end of request %s is not in the audit: %s", number, error)
        log.info(
            "%s %s by %s (%s): %s",
            *(request.method, request.url.path, caller.name, caller.via.value, entry.status),
        )
