"""Why a connection failed, in plain words instead of the names of Python objects."""

import re
import socket
import sys

_OBJECT = re.compile(r"^(?:<[^>]*>|\w+\([^)]*\)):\s*")


def plain_cause(error: BaseException) -> str:
    """The innermost reason that an exception carries, as a few words for a sentence."""
    chain = [error]
    while (following := _following(chain[-1])) is not None and following not in chain:
        chain.append(following)
    words = _words(chain[-1])
    if any(_is_proxy_error(each) for each in chain):
        return f"no connection to the proxy of PROXY_URL ({words})"
    return words


def _is_proxy_error(error: BaseException) -> bool:
    # Not imported for that: where urllib3 is not, none of its errors is either.
    exceptions = sys.modules.get("urllib3.exceptions")
    return exceptions is not None and isinstance(error, exceptions.ProxyError)


def _following(error: BaseException) -> BaseException | None:
    if isinstance(error, OSError) and error.errno is not None:
        return None
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    nested = next((each for each in error.args if isinstance(each, BaseException)), None)
    return nested or error.__cause__


def _words(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    lines = _OBJECT.sub("", str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
