"""Signs of life: shown while work goes on, and not while any of it hangs."""

import threading
import time
from pathlib import Path

from pipeline.pulse import beat_into, hanging, loop_pulse, loop_rests, pulse, working_on
from tests.fixtures.cli import wait_for


def test_work_hangs_when_it_shows_no_pulse_for_too_long() -> None:
    """And no longer once it does, or has ended."""
    with working_on("a batch"):
        assert hanging(0.2) == []
        time.sleep(0.3)
        assert hanging(0.2) == ["a batch"]
        pulse()
        assert hanging(0.2) == []
        time.sleep(0.3)
    assert hanging(0.2) == []


def test_a_pulse_of_one_thread_is_none_of_another() -> None:
    """Each piece of work shows its own."""
    over = threading.Event()

    def hang() -> None:
        with working_on("the other"):
            over.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    time.sleep(0.3)
    with working_on("mine"):
        pulse()
        assert hanging(0.2) == ["the other"]
    over.set()
    thread.join()


def test_a_main_loop_that_waits_for_its_broker_does_not_hang() -> None:
    """It rests then, and is looked at again when it turns."""
    loop_pulse()
    time.sleep(0.3)
    assert hanging(0.2) == ["the worker's main loop"]
    loop_rests()
    assert hanging(0.2) == []


def test_the_file_grows_old_while_something_hangs(tmp_path: Path) -> None:
    """And is touched again when it does not; whoever is told of life beside it hears as much."""
    file, told = tmp_path / "worker.alive", list[bool]()
    beat_into(file, 0.5, lambda: told.append(True))
    wait_for("the first beat", file.exists, 5)
    with working_on("a batch"):
        time.sleep(1.2)
        then, heard = file.stat().st_mtime_ns, len(told)
        time.sleep(1.3)
        assert (file.stat().st_mtime_ns, len(told)) == (then, heard)
    assert heard > 0
    wait_for("a beat again", lambda: file.stat().st_mtime_ns > then, 5)
