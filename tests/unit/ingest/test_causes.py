"""Reasons are words for people: no names of Python objects, whoever raised them."""

import socket
import urllib.error
import urllib.request

import pytest
import requests
import urllib3

from ingest.causes import plain_cause


@pytest.fixture
def nowhere() -> str:
    """An address of this machine on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_refused_connection_is_the_same_words_from_every_library(nowhere: str) -> None:
    """urllib, urllib3 and requests each wrap it in their own."""
    said = []
    with pytest.raises(urllib.error.URLError) as by_urllib:
        urllib.request.urlopen(nowhere, timeout=5)
    said.append(plain_cause(by_urllib.value))
    with pytest.raises(requests.ConnectionError) as by_requests:
        requests.get(nowhere, timeout=5)
    said.append(plain_cause(by_requests.value))
    with pytest.raises(urllib3.exceptions.HTTPError) as by_urllib3:
        urllib3.PoolManager().request("GET", nowhere, retries=False)
    said.append(plain_cause(by_urllib3.value))

    assert said == ["connection refused"] * 3


def test_a_dead_proxy_is_named_as_what_it_is(nowhere: str) -> None:
    """The variable to look at stands in the words."""
    with pytest.raises(requests.exceptions.ProxyError) as caught:
        requests.get("http://127.0.0.1:9/", timeout=5, proxies={"http": nowhere})

    assert plain_cause(caught.value) == (
        "no connection to the proxy of PROXY_URL (connection refused)"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be resolved"),
        (TimeoutError("timed out"), "timed out"),
        (OSError("<urlopen error [Errno 1] odd>"), "<urlopen error [Errno 1] odd>"),
        (OSError("_HttpsConnection(host='x', port=443): odd"), "odd"),
        (OSError("<urllib3.connection.HTTPConnection object at 0x7f>: odd"), "odd"),
        (KeyError(), "KeyError"),
    ],
)
def test_whatever_else_is_said_is_said_without_python_objects(
    error: BaseException, words: str
) -> None:
    """A name that does not resolve, a timeout, and libraries that print their own objects."""
    assert plain_cause(error) == words
