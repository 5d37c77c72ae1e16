"""Whether the monitor Flower is there to be linked to, and asks for its password."""

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus

_ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Monitor:
    """Flower, as others may link to it.

    Attributes:
        url: Where browsers find it.
        is_guarded: It answers and asks for its password; False: it lets everybody in; None: it
            does not answer.
    """

    url: str
    is_guarded: bool | None


def find_monitor(url: str) -> Monitor:
    """Ask at an address of http or https whether Flower is there, and guarded."""
    # It is asked directly: a proxy is for what lies outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_S):
            return Monitor(url, is_guarded=False)
    except urllib.error.HTTPError as error:
        return Monitor(url, is_guarded=error.code == HTTPStatus.UNAUTHORIZED)
    except (OSError, http.client.HTTPException):
        return Monitor(url, is_guarded=None)
