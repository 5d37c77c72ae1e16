"""Keys, named requests and the audit of the web application, in both kinds of database."""

import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import storage.api_tables
from market.errors import UsageError
from storage.api_keys import ApiKeys, Scope, split_key
from storage.api_logouts import ApiLogouts
from storage.api_requests import ApiRequests
from storage.database import Database
from storage.metadata import metadata


def test_the_tables_are_those_of_the_migration(database: Database) -> None:
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    names = ("api_key", "api_audit", "api_request", "api_logout")
    assert [each for each in differences if any(name in repr(each) for name in names)] == []
    assert storage.api_tables.api_key.name in names


def test_a_key_opens_with_its_secret_until_it_is_revoked(database: Database) -> None:
    """And the database never sees the secret."""
    keys = ApiKeys(database)
    made, text = keys.create("desk", Scope.READ, "me@here")
    parts = split_key(text)
    assert parts is not None
    assert parts[0] == made.key_id
    (held,) = keys.all()
    assert (held.name, held.scope, held.created_by) == ("desk", Scope.READ, "me@here")
    assert parts[1] not in repr(held)
    assert held.opens(parts[1])
    assert not held.opens(parts[1][:-1] + "-")
    assert held.last_used_at is None
    used_at = time.monotonic()
    time.sleep(0.05)
    assert (keys.revoke(made.key_id), keys.revoke(made.key_id)) == (True, False)
    # It is noted afterwards, by one process after another: the latest use stays, as it was.
    keys.note_use({made.key_id: used_at})
    keys.note_use({made.key_id: used_at - 3600})
    (noted,) = keys.all()
    assert noted.last_used_at is not None
    assert noted.revoked_at is not None
    assert noted.revoked_at - 60 < noted.last_used_at < noted.revoked_at
    assert not keys.all()[0].opens(parts[1])
    with pytest.raises(UsageError, match="is no key"):
        keys.revoke("000000000000")


def test_a_login_that_ended_is_known_until_its_cookie_would_end(database: Database) -> None:
    logouts = ApiLogouts(database)
    logouts.end("over long ago", -1.0)
    logouts.end("a nonce", 60.0)
    logouts.end("a nonce", 60.0)  # the first one is forgotten here
    assert logouts.nonces() == {"a nonce"}


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 81])
def test_a_name_that_is_no_line_is_refused(database: Database, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a key's"):
        ApiKeys(database).create(name, Scope.READ, "me@here")


def test_a_name_of_a_request_is_taken_once_and_can_be_given_up(database: Database) -> None:
    requests = ApiRequests(database)
    assert requests.claim("k1", "nightly", "hash", "run-1") is None
    known = requests.claim("k1", "nightly", "other", "run-2")
    assert known is not None
    assert (known.content, known.subject, known.age_s < 60) == ("hash", "run-1", True)
    assert requests.claim("k2", "nightly", "hash", "run-3") is None
    requests.give_up("k1", "nightly", "run-2")
    assert requests.claim("k1", "nightly", "hash", "run-4") is not None
    requests.give_up("k1", "nightly", "run-1")
    assert requests.claim("k1", "nightly", "hash", "run-5") is None


def test_the_audit_keeps_what_was_asked_and_how_it_ended(database: Database) -> None:
    requests = ApiRequests(database)
    asked = {"method": "POST", "path": "/api/v1/syncs", "address": "::1", "via": "key"}
    first = requests.begin(key_id="k1", about={"symbols": ["贵州茅台"] * 3}, **asked)
    second = requests.begin(key_id=None, about={"big": "x" * 50_000}, **asked)
    requests.end(first, 202, {"run_id": "r1"})
    newest, oldest = requests.entries(10)
    assert (newest.id, newest.status, newest.key_id) == (second, None, None)
    assert len(newest.about["cut"]) == 5000
    assert (oldest.id, oldest.status) == (first, 202)
    assert oldest.about == {"symbols": ["贵州茅台"] * 3, "run_id": "r1"}
