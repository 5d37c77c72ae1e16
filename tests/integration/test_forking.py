"""Commands that are forked end, speak and see their surroundings as those of a new interpreter."""

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.processes import processes_of


@pytest.mark.parametrize(
    "words",
    [("status", "--json"), ("sync", "stocks", "--symbols", "60051"), ("klines",), ("runs", "-h")],
    ids=" ".join,
)
def test_a_forked_command_says_what_a_fresh_one_says(
    installation: Installation, words: tuple[str, ...]
) -> None:
    """To both streams, with the same exit code; an installed command calls itself by its name."""
    fresh = replace(installation, fresh=True).run(*words)
    forked = installation.run(*words)

    def words_of(text: str) -> list[str]:
        return text.replace("python -m pipeline.cli", "quantsync").split()

    assert forked.code == fresh.code
    assert words_of(forked.stdout) == words_of(fresh.stdout)
    assert words_of(forked.stderr) == words_of(fresh.stderr)
    assert forked.stdout + forked.stderr


def test_settings_and_folder_of_one_command_are_not_those_of_the_next(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables given, variables gone, and a ``.env`` where the command runs."""
    refused = installation.run("status", BUDGET_SIMULATOR="much")
    accepted = installation.run("status")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".env").write_text("BUDGET_EASTMONEY=much\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    beside = installation.run("status")

    assert [said.code for said in (refused, accepted, beside)] == [2, 0, 2]
    assert "BUDGET_SIMULATOR" in refused.stderr
    assert "BUDGET_EASTMONEY" in beside.stderr


def test_a_forked_process_is_a_child_of_its_own_like_any_other(
    installation: Installation, tmp_path: Path
) -> None:
    """The process table shows its command line and environment; signals and exit codes are its."""
    ready = tmp_path / "url"
    process = installation.start("simulator", "--port", "0", "--ready-file", str(ready))
    wait_for("the simulator", ready.exists)
    (shown,) = processes_of(installation.home)
    process.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{process.pid}/stat")
    wait_for("a stop", lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
    process.kill()

    assert (shown.pid, shown.parent) == (process.pid, os.getpid())
    assert shown.command.split()[1:5] == ["-m", "pipeline.cli", "simulator", "--port"]
    assert process.wait(10) == -signal.SIGKILL
    assert processes_of(installation.home) == []


def test_a_forked_command_that_takes_too_long_is_killed(installation: Installation) -> None:
    """Nothing of it stays."""
    with pytest.raises(subprocess.TimeoutExpired, match="simulator"):
        installation.run("simulator", "--port", "0", timeout=0.5)

    assert processes_of(installation.home) == []
