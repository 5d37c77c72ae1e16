"""How long a run still takes, by how fast it went lately."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from storage.run_records import RunStatus

_LOOKS_BACK_S = 120.0
_AT_LEAST_S = 5.0
_RUNS = 64


class Meter:
    """Watches runs go on: the pace of the last two minutes says when one will be done.

    A run that stood still overnight has an average that says nothing, so what was seen lately
    counts, and the average of the whole run only until enough was seen. Safe to share between
    threads.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()

    def left_s(self, status: RunStatus) -> float | None:
        """Note where a run stands; seconds until all that it plans now is fetched.

        None where nothing can be said: it has ended, or nothing was fetched lately. A run that
        begins with a list learns more to do on the way.
        """
        with self._lock:
            return self._left_s(status)

    def _left_s(self, status: RunStatus) -> float | None:
        if status.state.is_end:
            self._seen.pop(status.run_id, None)
            return None
        now = self._now()
        seen = self._seen.setdefault(status.run_id, deque())
        self._seen.move_to_end(status.run_id)
        while len(self._seen) > _RUNS:
            self._seen.popitem(last=False)
        if not seen or status.done < seen[-1][1]:
            seen.clear()  # a batch that was handed out again counts anew
        if not seen or status.done != seen[-1][1] or now - seen[-1][0] >= 1:
            seen.append((now, status.done))
        while len(seen) > 2 and now - seen[1][0] > _LOOKS_BACK_S:  # noqa: PLR2004
            seen.popleft()
        since, done = seen[0]
        took, fetched = now - since, status.done - done
        if took < _AT_LEAST_S:
            took, fetched = status.elapsed_s, status.done
        if fetched <= 0 or took <= 0:
            return None
        return (status.items - status.done) * took / fetched
