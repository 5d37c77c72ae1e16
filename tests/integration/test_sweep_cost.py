"""A sweep of the whole market costs less here than one request upstream may take."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.alone
def test_a_sweep_of_5500_symbols_is_fetched_parsed_validated_and_written_within_a_second() -> None:
    """At zero latency, both readings; the direct one is held to it by the bench's exit code."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.bench_sweep", "--rounds", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "direct: 56 requests, 5,302 bars" in done.stdout
    assert "akshare: 56 requests, 5,302 bars" in done.stdout
