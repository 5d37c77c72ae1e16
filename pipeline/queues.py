"""Queues, routes and priorities: who consumes what, and who goes first."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu.entity import Queue

STOCK_QUEUE = "quant_stock_queues"
CONCEPT_QUEUE = "quant_concept_queues"
INDUSTRY_QUEUE = "quant_industry_queues"
DEFAULT_QUEUE = "default"
EMAIL_QUEUE = "email_queues"

QUANT_QUEUES = (STOCK_QUEUE, CONCEPT_QUEUE, INDUSTRY_QUEUE)
ADMIN_QUEUES = (DEFAULT_QUEUE, EMAIL_QUEUE)
ALL_QUEUES = (*QUANT_QUEUES, *ADMIN_QUEUES)

ROUTES = {"admin_tasks.send_email": {"queue": EMAIL_QUEUE}}
"""Where a task goes that is published without a queue of its own; others go to the default."""

LIVE_PRIORITY = 9
BULK_PRIORITY = 1
_TOP = 9


def broker_priority(priority: int, broker_url: str) -> int:
    """A priority (9 first) in the broker's own sense: Redis serves 0 first, RabbitMQ 9."""
    return _TOP - priority if broker_url.startswith("redis") else priority


def declared_queues(broker_url: str, queue_type: str) -> "list[Queue]":
    """All queues, declared for the broker in use.

    Args:
        broker_url: Where messages go; RabbitMQ queues get arguments that Redis has no use for.
        queue_type: ``classic`` or ``quorum`` (RabbitMQ 4 and later).
    """
    from kombu.entity import Exchange, Queue  # noqa: PLC0415 - names of queues need no kombu

    arguments: dict[str, Any] = {}
    if not broker_url.startswith("redis"):
        arguments = (
            {"x-queue-type": "quorum"} if queue_type == "quorum" else {"x-max-priority": _TOP}
        )
    return [
        Queue(
            name,
            Exchange(name, type="direct", durable=True),
            routing_key=name,
            durable=True,
            queue_arguments=arguments,
        )
        for name in ALL_QUEUES
    ]
