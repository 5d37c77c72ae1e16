"""A child that starts slowly is waited for; one that showed life and fell silent hangs."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.embedded import _Child
from tests.fixtures.cli import wait_for

AFTER_S = 0.2


@pytest.fixture
def child(tmp_path: Path) -> Iterator[_Child]:
    """A process that shows life once, when it is told to, and never again."""
    alive, told = tmp_path / "alive", tmp_path / "told"
    code = (
        "import pathlib, time\n"
        f"while not pathlib.Path({str(told)!r}).exists(): time.sleep(0.01)\n"
        f"pathlib.Path({str(alive)!r}).touch()\n"
        "time.sleep(60)"
    )
    one = _Child("slow", [sys.executable, "-c", code], {}, tmp_path / "log", alive_file=alive)
    one.start()
    yield one
    assert one.process is not None
    one.process.kill()
    one.process.wait()


def test_a_child_that_is_still_starting_does_not_hang(child: _Child, tmp_path: Path) -> None:
    """A busy machine takes longer to start it than a short limit: killed, it would never start."""
    time.sleep(3 * AFTER_S)
    assert child.silent_s() > AFTER_S
    assert not child.hangs(AFTER_S)

    (tmp_path / "told").touch()
    wait_for("the sign of life", lambda: child.was_up)
    assert not child.hangs(AFTER_S)
    wait_for("its silence to be noticed", lambda: child.hangs(AFTER_S))


def test_a_child_that_never_starts_hangs_at_last(
    child: _Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patience with a start ends."""
    monkeypatch.setattr("pipeline.embedded._START_PATIENCE_S", 10 * AFTER_S)
    time.sleep(1.5 * AFTER_S)
    assert not child.hangs(AFTER_S)
    wait_for("its silence to be noticed", lambda: child.hangs(AFTER_S))
