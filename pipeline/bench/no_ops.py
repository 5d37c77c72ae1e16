"""Our chord's tasks without their work: a worker includes this module (``-I``) for a benchmark.

Whatever Celery does for a ``pipeline.fetch_batch`` or ``pipeline.commit_wave``, and all that our
settings and signal handlers add, stays; only what the task itself does is gone. Never import it
in another process: there, too, the tasks would do nothing from then on.
"""

import time

from pipeline import tasks  # noqa: F401 - the tasks must be there before they are changed
from pipeline.app import app
from pipeline.bench.names import COMMIT, ENDED, FETCH


def _fetch(run_id: str, batch_no: int) -> dict[str, object]:
    return {"run_id": run_id, "batch_no": batch_no, "at": time.time()}


def _commit(run_id: str, wave: int) -> dict[str, object]:
    app.backend.client.rpush(ENDED, f"{run_id} {time.time()}")
    return {"run_id": run_id, "wave": wave}


for _name, _work in ((FETCH, _fetch), (COMMIT, _commit)):
    app.tasks[_name].run = _work
