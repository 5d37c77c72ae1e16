"""Kill points: armed processes die where they are told to, once or always; others never."""

import subprocess
import sys
from pathlib import Path

import pytest

from market.errors import ConfigurationError
from storage.killpoints import KillPoint, arm, reach

PROGRAM = """
import sys
from pathlib import Path
from storage.killpoints import KillPoint, arm, reach
arm(sys.argv[1], Path(sys.argv[2]))
for number in range(5):
    reach(KillPoint.BATCH_CLAIMED, number)
    print(number, flush=True)
"""


def lived(spec: str, marker: Path) -> tuple[int, int]:
    """Exit code of a process armed so, and how many times it passed the point."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, spec, str(marker)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, len(done.stdout.splitlines())


def test_a_process_dies_the_nth_time_and_only_once(tmp_path: Path) -> None:
    """A restarted one finds the marker and lives."""
    marker = tmp_path / "killed"

    assert lived("batch_claimed:3", marker) == (-9, 2)
    assert lived("batch_claimed:3", marker) == (0, 5)


def test_a_poisoned_detail_kills_every_time(tmp_path: Path) -> None:
    """Whoever takes that batch."""
    for _ in range(2):
        assert lived("batch_claimed@4", tmp_path / "killed") == (-9, 4)
    assert lived("batch_claimed@9", tmp_path / "killed") == (0, 5)
    assert lived("lake_written", tmp_path / "killed") == (0, 5)


@pytest.mark.parametrize("text", ["", "nonsense", "batch_claimed:0", "batch_claimed=die", "x:1"])
def test_an_unreadable_point_is_refused_with_those_there_are(text: str, tmp_path: Path) -> None:
    """All are named."""
    with pytest.raises(ConfigurationError, match="warehouse_written"):
        arm(text, tmp_path / "killed")


def test_who_is_not_armed_passes_every_point() -> None:
    """This process would be gone otherwise."""
    for point in KillPoint:
        reach(point)
