"""Where monitors listen: on loopback, unless somebody says that others may reach them."""

import pytest

from market.errors import UsageError
from pipeline.listening import read_address


@pytest.mark.parametrize(
    ("text", "host"),
    [("127.0.0.1:9808", "127.0.0.1"), ("[::1]:9808", "::1"), ("localhost:9808", "localhost")],
)
def test_loopback_is_taken_as_it_is(text: str, host: str) -> None:
    assert read_address(text, expose=False) == (host, 9808)


@pytest.mark.parametrize("text", ["0.0.0.0:9808", "[::]:9808", "10.0.0.1:9808", "example.com:80"])
def test_an_address_that_others_reach_needs_a_word(text: str) -> None:
    with pytest.raises(UsageError, match="give --expose"):
        read_address(text, expose=False)

    assert read_address(text, expose=True)[1] in (9808, 80)


@pytest.mark.parametrize(
    "text", ["9808", ":9808", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write host and port"):
        read_address(text, expose=False)
