"""A plain Celery app as a beginner writes it: its defaults, and a task that does nothing.

``celery -A pipeline.bench.bare -b URL --result-backend URL worker …``
"""

import time
from typing import Any

from celery import Celery, group

NO_OP = "bare.no_op"


def app_on(broker: str | None = None, backend: str | None = None) -> Celery:
    """The app on a broker; None: the one that Celery's own command line names."""
    plain = Celery("bare", broker=broker, backend=backend, set_as_current=False)

    @plain.task(name=NO_OP, shared=False)
    def no_op() -> float:
        return time.time()

    return plain


def group_of(plain: Celery, size: int) -> Any:
    """So many tasks that each return the epoch second at which they ran."""
    return group([plain.tasks[NO_OP].s() for _ in range(size)], app=plain)


app = app_on()
