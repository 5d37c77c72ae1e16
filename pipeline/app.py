"""The Celery app: the composition root, and the ``-A`` target of every plain Celery command."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from celery import Celery
from celery.schedules import crontab, schedule

from pipeline.handing import hand_over_means
from pipeline.loop_step import LoopPulse
from pipeline.monitor_guard import guard_monitor
from pipeline.queues import DEFAULT_QUEUE, LIVE_PRIORITY, ROUTES, broker_priority, declared_queues
from pipeline.settings import Settings, read_settings
from scheduling.beat import BeatEntry, beat_entries, read_changes
from scheduling.cron import Cron

TASK_MODULES = (
    "pipeline.tasks",
    "admin_tasks.tasks",
    "admin_tasks.report_tasks",
    "admin_tasks.backup_tasks",
    "admin_tasks.cleanup_tasks",
)
"""Modules that define tasks; a worker imports them at its start."""


def celery_config(settings: Settings) -> dict[str, Any]:
    """Every Celery setting, each with its reason in docs/celery.md."""
    return {
        "broker_url": settings.broker_url,
        "result_backend": settings.result_backend,
        "task_serializer": settings.celery_task_serializer,
        "result_serializer": settings.celery_result_serializer,
        "accept_content": ["json"],
        "timezone": settings.celery_timezone,
        "enable_utc": settings.celery_enable_utc,
        "task_queues": declared_queues(settings.broker_url, settings.queue_type),
        "task_default_queue": DEFAULT_QUEUE,
        "task_routes": ROUTES,
        "task_create_missing_queues": False,
        "task_time_limit": 1800,
        "task_soft_time_limit": 1500,
        "task_track_started": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_retry_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 1000,
        "worker_hijack_root_logger": False,
        "worker_soft_shutdown_timeout": 20.0,
        "worker_enable_soft_shutdown_on_idle": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,
        "broker_pool_limit": 10,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport_options(settings),
        "result_expires": 3600,
        "result_chord_expires": 86_400,
        # One for all threads: see listen_for_no_results. Its connections are a pool's.
        "result_backend_thread_safe": True,
        "result_backend_always_retry": True,
        "result_backend_transport_options": {
            "retry_policy": {
                "timeout": 60.0,
                "max_retries": 100,
                "interval_start": 0.2,
                "interval_step": 0.5,
                "interval_max": 2,
            }
        },
        "task_publish_retry_policy": {
            "max_retries": 60,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 2,
        },
        "beat_schedule": _beat_schedule(settings),
        "beat_cron_starting_deadline": 240,
        "redis_socket_connect_timeout": 5,
        "redis_socket_timeout": 30,
        # A unix socket has no keepalive, and redis-py refuses the option there.
        "redis_socket_keepalive": "+socket" not in settings.result_backend,
    }


def _beat_schedule(settings: Settings) -> dict[str, Any]:
    now = _market_now if settings.beat_clock == "market" else None
    return {
        name: {
            "task": entry.task,
            "schedule": _celery_schedule(entry.when, now),
            "args": entry.arguments,
            "options": {
                "queue": entry.queue,
                "expires": entry.expires_s,
                "priority": broker_priority(LIVE_PRIORITY, settings.broker_url),
            },
        }
        for name, entry in schedule_entries(settings).items()
    }


def schedule_entries(settings: Settings) -> dict[str, BeatEntry]:
    """What beat sends, by name."""
    return beat_entries(
        reconcile_every_s=settings.reconcile_every_s,
        changes=read_changes(settings.schedule),
        without=() if settings.report_recipients else ("send_report",),
    )


def _market_now() -> datetime:
    from pipeline.beat_clock import market_now  # noqa: PLC0415  (only beat asks, in a drill)

    return market_now()


def _celery_schedule(when: timedelta | Cron, now: Callable[[], datetime] | None) -> Any:
    if not isinstance(when, Cron):
        return schedule(when, nowfun=now)
    return crontab(
        minute=when.minute,
        hour=when.hour,
        day_of_month=when.day_of_month,
        month_of_year=when.month,
        day_of_week=when.day_of_week,
        nowfun=now,
    )


def _transport_options(settings: Settings) -> dict[str, Any]:
    if not settings.broker_url.startswith("redis"):
        return {"confirm_publish": True}
    return {
        # All workers on one Redis share the unacked set and the lowest value wins: keep one value.
        "visibility_timeout": settings.visibility_timeout_s,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "priority_steps": list(range(10)),
        "queue_order_strategy": "priority",
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": "+socket" not in settings.broker_url,
        "health_check_interval": 10,
    }


def create_app(settings: Settings) -> Celery:
    """A configured app; task modules are imported when a worker or a caller first needs them."""
    celery = Celery("quantsync", set_as_current=True)
    celery.set_default()  # "current" is this thread's alone; others publish, too
    celery.conf.update(celery_config(settings))
    celery.conf.imports = TASK_MODULES
    celery.steps["consumer"].add(LoopPulse)
    if settings.log_format == "json":
        from pipeline.logs import log_as_json  # noqa: PLC0415  (most installations need it not)

        log_as_json()
    return celery


def listen_for_no_results(celery: Celery) -> None:
    """Keep a publisher from subscribing to the result of every task it publishes.

    Celery does so for each, though nobody waits: the ledger is watched instead. Each result then
    unsubscribes when it is collected, which may be after the embedded Redis has stopped, and that
    takes a minute of retries and ends in a traceback.
    """
    consumer = celery.backend.result_consumer
    consumer.consume_from = consumer.cancel_for = lambda _task_id: None


guard_monitor(sys.argv, read_settings())
app = create_app(read_settings())
listen_for_no_results(app)
hand_over_means()
