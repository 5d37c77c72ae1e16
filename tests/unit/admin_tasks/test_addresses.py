"""Addresses are read as people write them, and what is none is refused."""

import pytest

from admin_tasks.addresses import InvalidAddressError, Mailbox, parse_mailbox, parse_mailboxes


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("desk@example.com", Mailbox("desk@example.com")),
        ("  Desk@Example.COM ", Mailbox("Desk@example.com")),
        ("<desk@example.com>", Mailbox("desk@example.com")),
        ("Trading Desk <desk@example.com>", Mailbox("desk@example.com", "Trading Desk")),
        ('"Li, \\"Bo\\"" <bo@example.com>', Mailbox("bo@example.com", 'Li, "Bo"')),
        ("王芳 <fang@例子.cn>", Mailbox("fang@xn--fsqu00a.cn", "王芳")),
        ("root@localhost", Mailbox("root@localhost")),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, mailbox: Mailbox) -> None:
    assert parse_mailbox(text) == mailbox


@pytest.mark.parametrize(
    "text",
    ["", "desk", "@example.com", "desk@", "a b@example.com", "a..b@example.com", "a@-b.com",
     "desk@example.com>", "<desk@example.com", "desk@[127.0.0.1]", "ü@example.com",
     f"{'x' * 65}@example.com", f"x@{'y' * 64}.com", f"x@{'y.' * 126}com",
     "desk@example.com\nBcc: all@example.com", "Desk\r\n <desk@example.com>"],
)  # fmt: skip
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidAddressError) as refused:
        parse_mailbox(text)
    assert refused.value.context == {"address": text}


def test_addresses_stand_between_commas_and_a_name_may_hold_one() -> None:
    text = ' a@example.com,"Li, Bo" <bo@example.com>,, c@example.com,'
    assert [each.address for each in parse_mailboxes(text)] == [
        "a@example.com",
        "bo@example.com",
        "c@example.com",
    ]
