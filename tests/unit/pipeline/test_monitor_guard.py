"""Flower started by the plain Celery command is as little open as by ours."""

import os

import pytest

from pipeline.monitor_guard import guard_monitor
from pipeline.settings import Settings

PLAIN = ["/srv/bin/celery", "-A", "pipeline.app", "flower", "--port=5555"]
MODULE = ["/usr/lib/python3/celery/__main__.py", *PLAIN[1:]]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "")


@pytest.mark.parametrize("arguments", [PLAIN, MODULE], ids=["celery", "python -m celery"])
@pytest.mark.parametrize("login", [None, "nopass", "user:", ":password"])
def test_without_a_whole_login_it_does_not_start(arguments: list[str], login: str | None) -> None:
    with pytest.raises(SystemExit, match="never run open"):
        guard_monitor(arguments, Settings(flower_basic_auth=login))


def test_a_login_of_the_env_file_is_asked_for() -> None:
    """Flower itself reads no such file."""
    guard_monitor(PLAIN, Settings(flower_basic_auth="watch:s3cret"))
    assert os.environ["FLOWER_BASIC_AUTH"] == "watch:s3cret"


@pytest.mark.parametrize(
    "arguments",
    [
        ["/srv/bin/celery", "-A", "pipeline.app", "worker", "-n", "quant@%h"],
        ["/srv/bin/quantsync", "flower"],
        [*PLAIN, "--basic-auth=watch:s3cret"],
    ],
    ids=["a worker", "our command", "a login of its own"],
)
def test_others_are_left_alone(arguments: list[str]) -> None:
    guard_monitor(arguments, Settings(flower_basic_auth=None))
    assert os.environ["FLOWER_BASIC_AUTH"] == ""
