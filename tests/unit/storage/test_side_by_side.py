"""Work side by side ends as one piece of work would, and a hanging piece shows no sign of life."""

import threading
import time
from collections.abc import Callable

import pytest

from storage.side_by_side import side_by_side

Alive = Callable[[], None]


def test_results_keep_their_order_and_signs_come_in_the_callers_thread() -> None:
    """So a lease is prolonged, and a pulse shown, by whoever has them."""
    seen: list[int] = []

    def work(number: int) -> Callable[[Alive], int]:
        def run(alive: Alive) -> int:
            time.sleep(0.01 * (3 - number))
            alive()
            return number

        return run

    done = side_by_side([work(n) for n in range(3)], lambda: seen.append(threading.get_ident()))

    assert done == [0, 1, 2]
    assert seen == [threading.get_ident()] * 6


def test_a_lost_lease_ends_what_has_begun_and_begins_nothing_more() -> None:
    """What waits for a lock is told so when it next shows that it waits."""
    begun: list[int] = []

    def waiting(number: int) -> Callable[[Alive], None]:
        def run(alive: Alive) -> None:
            begun.append(number)
            while True:
                alive()
                time.sleep(0.005)

        return run

    def lost() -> None:
        raise TimeoutError("lost")

    with pytest.raises(TimeoutError, match="lost"):
        side_by_side([waiting(n) for n in range(5)], lost)

    assert sorted(begun) == [0, 1]


def test_a_failure_is_raised_and_the_rest_not_begun() -> None:
    """A corrupt partition ends a commit."""
    begun: list[int] = []

    def run(number: int) -> Callable[[Alive], None]:
        def work(_: Alive) -> None:
            begun.append(number)
            time.sleep(0.05)
            if number == 0:
                raise ValueError("partition 0")

        return work

    with pytest.raises(ValueError, match="partition 0"):
        side_by_side([run(n) for n in range(20)], lambda: None)

    assert len(begun) < 6


def test_nothing_is_said_while_all_of_it_hangs() -> None:
    """A supervisor sees a worker whose disk hangs by its silence."""
    free, signs = threading.Event(), list[float]()

    def hanging(_: Alive) -> None:
        free.wait(10)

    caller = threading.Thread(
        target=side_by_side, args=([hanging, hanging], lambda: signs.append(time.monotonic()))
    )
    caller.start()
    time.sleep(0.1)
    silent = not signs
    free.set()
    caller.join()

    assert silent
    assert len(signs) == 2
