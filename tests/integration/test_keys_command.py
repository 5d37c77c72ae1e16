"""``quantsync keys`` as a user runs it."""

from tests.fixtures.cli import Installation


def test_a_key_is_shown_once_then_listed_and_revoked(installation: Installation) -> None:
    made = installation.run("keys", "create", "--scope", "read", "--name", "desk", "--json")
    listed = installation.run("keys", "list", "--json")
    revoked = installation.run("keys", "revoke", made.json["key_id"])
    after = installation.run("keys", "list")
    wrong = installation.run("keys", "create", "--scope", "write")

    assert made.json["key"].startswith(f"qs_{made.json['key_id']}_")
    (key,) = listed.json["keys"]
    assert (key["name"], key["scope"], key["revoked_at"]) == ("desk", "read", None)
    assert made.json["key"].rpartition("_")[2] not in listed.stdout
    assert (revoked.code, revoked.stdout) == (0, f"key {key['key_id']} is revoked\n")
    assert "desk" in after.stdout
    assert (wrong.code, "use read or operate" in wrong.stderr) == (2, True)
