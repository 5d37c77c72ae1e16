"""How often a fetch is tried: one place for what no fetch library may decide by itself."""

import logging
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    before_sleep_log,
    retry_if_exception,
    wait_exponential,
    wait_random,
)

from ingest.source import SourceError, ThrottledError, TruncatedListError

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_BACK_OFF = wait_exponential(multiplier=0.5, max=8) + wait_random(0, 0.5)
_T = TypeVar("_T")


def retried(call: Callable[[], _T]) -> _T:
    """Call until it succeeds, for transient errors only: at most three times, a cut list twice.

    A list that is cut is rarely whole a second later, there may be hundreds of them, and each costs
    a request a page: the next run asks again. What fails because the address is banned does not
    count: the next request waits for the ban's next probe.

    Raises:
        BannedError: The ban lasts longer than the batch may.
    """
    while True:
        try:
            return _tried(call)
        except ThrottledError as error:
            if not error.banned:
                raise
            log.info("asked again after the ban: %s", error)


def _tried(call: Callable[[], _T]) -> _T:
    retrying = Retrying(
        stop=lambda state: state.attempt_number >= (2 if _is_cut(state) else _ATTEMPTS),
        wait=lambda state: 0.2 if _is_cut(state) else _BACK_OFF(state),
        retry=retry_if_exception(_may_pass),
        before_sleep=before_sleep_log(log, logging.INFO),
        reraise=True,
    )
    return retrying(call)


def _may_pass(error: BaseException) -> bool:
    banned = isinstance(error, ThrottledError) and error.banned
    return isinstance(error, SourceError) and error.transient and not banned


def _is_cut(state: RetryCallState) -> bool:
    outcome = state.outcome
    return outcome is not None and isinstance(outcome.exception(), TruncatedListError)
