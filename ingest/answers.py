"""What an HTTP exchange came to: a whole answer, or one of our errors."""

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
import urllib3

from ingest.causes import plain_cause
from ingest.source import (
    SourceError,
    ThrottledError,
    UnreachableError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)


@contextmanager
def translated(host: str, domain: str) -> Iterator[None]:
    """Turn the HTTP stack's exceptions into ours, once."""
    context = {"host": host, "domain": domain}
    try:
        yield
    except urllib3.exceptions.NewConnectionError as error:  # it is a ConnectTimeoutError, too
        raise UnreachableError(f"{domain} is unreachable: {plain_cause(error)}", context) from error
    except (requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError) as error:
        raise UnreachableError(
            f"{domain} is unreachable: {host} accepted no connection in time", context
        ) from error
    except (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise UpstreamTimeoutError(f"{host} did not answer in time", context) from error
    except (
        requests.exceptions.ProxyError,
        requests.exceptions.SSLError,
        urllib3.exceptions.ProxyError,
        urllib3.exceptions.SSLError,
    ) as error:
        raise UnreachableError(f"{domain} is unreachable: {plain_cause(error)}", context) from error
    except (
        requests.exceptions.ConnectionError,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.ProtocolError,
        urllib3.exceptions.PoolError,
    ) as error:
        if _was_connected(error):
            raise ThrottledError(
                f"{host} closed the connection without a whole response, as when throttling",
                context,
            ) from error
        raise UnreachableError(f"{domain} is unreachable: {plain_cause(error)}", context) from error


def _was_connected(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(
            seen,
            http.client.HTTPException
            | ConnectionResetError
            | BrokenPipeError
            | urllib3.exceptions.IncompleteRead,
        ):
            return True
        reason = getattr(seen, "reason", None)
        nested = next((a for a in seen.args if isinstance(a, BaseException)), None)
        seen = reason if isinstance(reason, BaseException) else nested or seen.__cause__
    return False


def read_within(raw: urllib3.BaseHTTPResponse, headers: Mapping[str, str], seconds: float) -> bytes:
    """The whole body; a body that trickles is given up after ``seconds``."""
    deadline = time.monotonic() + seconds
    chunks: list[bytes] = []
    while chunk := raw.read1(decode_content=True):
        chunks.append(chunk)
        if time.monotonic() > deadline:
            raw.close()
            raw.release_conn()
            raise requests.exceptions.ReadTimeout("the body did not end in time")
    body = b"".join(chunks)
    expected = headers.get("Content-Length")
    if expected is not None and "Content-Encoding" not in headers:
        missing = int(expected) - len(body)
        if missing > 0:
            raise requests.exceptions.ChunkedEncodingError(
                urllib3.exceptions.IncompleteRead(len(body), missing)
            )
    raw.release_conn()
    return body


_THROTTLING_STATUS = frozenset({403, 418, 429, 436, 456, 618})


def refuse_non_answer(status: int, body: bytes, domain: str, path: str) -> None:
    """Raise what a status or a web page says instead of data.

    Raises:
        ThrottledError: A status or a page that upstreams throttle with.
        UpstreamFailedError: A server error.
        SourceError: Any other refusal.
    """
    context = {"domain": domain, "path": path, "status": status}
    if status in _THROTTLING_STATUS:
        raise ThrottledError(f"{domain} refused the request with HTTP {status}", context)
    if status >= 500:  # noqa: PLR2004
        raise UpstreamFailedError(f"{domain} answered {path} with HTTP {status}", context)
    if status >= 400:  # noqa: PLR2004
        raise SourceError(f"{domain} answered {path} with HTTP {status}", context)
    if body.lstrip()[:1] == b"<":
        raise ThrottledError(
            f"{domain} answered {path} with a web page instead of data, as its captcha does",
            context,
        )
