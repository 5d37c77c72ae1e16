"""Every error raised on purpose can travel through Celery."""

import importlib
import pickle
import pkgutil

import admin_tasks
import ingest
import market
import pipeline
import scheduling
import storage
import web
from market.errors import QuantsyncError

# Migrations and programs run when they are imported; no_ops takes their work from our tasks.
_NOT_IMPORTED = ("migrations", "__main__", "bench.no_ops")


def all_errors(root: type[QuantsyncError]) -> list[type[QuantsyncError]]:
    below = [kind for child in root.__subclasses__() for kind in all_errors(child)]
    return [root, *below]


def test_every_error_is_built_from_a_message_and_a_context() -> None:
    for package in (market, ingest, storage, scheduling, admin_tasks, pipeline, web):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in _NOT_IMPORTED):
                importlib.import_module(module.name)
    for kind in all_errors(QuantsyncError):
        error = kind("message", {"symbol": "600519.SH"})
        # Celery rebuilds an error as kind(*args), and pickle does the same.
        for copy in (kind(*error.args), pickle.loads(pickle.dumps(error))):
            assert type(copy) is kind
            assert (copy.message, copy.context) == ("message", {"symbol": "600519.SH"})
