"""``python -m web``: serve the web application, which ``quantsync web`` and ``up`` start."""

import argparse
import ctypes
import logging
import signal
import sys

from market.errors import QuantsyncError, UsageError
from pipeline.settings import read_settings

_FAILED, _WRONG_USAGE = 1, 2
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve until a signal to stop; a deliberate error becomes one sentence and an exit code."""
    parser = argparse.ArgumentParser(prog="python -m web", description=__doc__)
    parser.add_argument("--listen", metavar="HOST:PORT", help="default: WEB_LISTEN")
    parser.add_argument("--die-with-parent", action="store_true", help="end when it ends")
    options = parser.parse_args()
    if options.die_with_parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        settings = read_settings()
        _log(settings.log_format)
        from web.serving import serve  # noqa: PLC0415  (a wrong setting is told at once)

        serve(settings, options.listen or settings.web_listen)
    except QuantsyncError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return _WRONG_USAGE if isinstance(error, UsageError) else _FAILED
    except KeyboardInterrupt:
        pass
    return 0


def _log(form: str) -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("alembic", "celery", "kombu", "filelock", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if form == "json":
        from pipeline.logs import JsonLines  # noqa: PLC0415  (it imports Celery)

        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines())


if __name__ == "__main__":
    sys.exit(main())
