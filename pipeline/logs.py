"""Logs of workers and beat as JSON objects, a line each, for machines that collect them.

Celery's own lines stay the default. Where Celery is given ``--logfile``, it writes with a
``WatchedFileHandler``: logrotate may move the file at any moment, and the next line begins a new
one. On stderr it is systemd's journal, or whoever started the process, that keeps them.
"""

import logging
from datetime import UTC, datetime

from celery import current_task
from celery.signals import after_setup_logger, after_setup_task_logger
from pythonjsonlogger.json import JsonFormatter

from market.clock import EXCHANGE_TZ
from pipeline.log_fields import FieldsFilter


class JsonLines(JsonFormatter):
    """A record as one JSON object.

    ``time`` (ISO 8601, Shanghai), ``level``, ``logger``, ``process``, ``thread``, ``message``;
    ``task`` and ``task_id`` within a task; ``run_id``, ``batch_no`` or ``wave`` within their work;
    ``exc_info`` with a traceback.
    """

    def __init__(self) -> None:
        super().__init__("{message}", style="{", json_ensure_ascii=False)

    def add_fields(
        self,
        log_data: dict[str, object],
        record: logging.LogRecord,
        message_dict: dict[str, object],
    ) -> None:
        """Fill the object, in a fixed order."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone(EXCHANGE_TZ)
        log_data |= {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "thread": record.threadName,
        }
        task = current_task
        if task and task.request.id:
            log_data |= {"task": task.name, "task_id": task.request.id}
        super().add_fields(log_data, record, message_dict)


def log_as_json() -> None:
    """From now on Celery sets up its loggers so; call it before a worker or beat starts."""
    after_setup_logger.connect(_use_json)
    after_setup_task_logger.connect(_use_json)


def _use_json(logger: logging.Logger, **_signal: object) -> None:
    for handler in logger.handlers:
        handler.setFormatter(JsonLines())
        handler.addFilter(FieldsFilter())
