"""Whether the broker answers, asked before anything is planned."""

from urllib.parse import urlsplit

from kombu.exceptions import OperationalError

from ingest.causes import plain_cause
from market.errors import QuantsyncError

_ANSWER_S = 2.0


class BrokerUnreachableError(QuantsyncError):
    """The broker refuses connections, or the login."""


def check_broker() -> None:
    """Connect once to the configured broker.

    Raises:
        BrokerUnreachableError: It does not answer within seconds; nothing was planned.
    """
    from pipeline.app import app  # noqa: PLC0415

    is_redis = app.conf.broker_url.startswith("redis")
    # A worker waits longer for a Redis that stands still.
    brief = {"socket_timeout": _ANSWER_S, "socket_connect_timeout": _ANSWER_S} if is_redis else {}
    connection = app.connection_for_write(connect_timeout=3, transport_options=brief)
    try:
        connection.ensure_connection(
            max_retries=1, interval_start=0.2, timeout=_ANSWER_S if is_redis else 5
        )
    except (OperationalError, OSError) as error:
        raise BrokerUnreachableError(
            f"the broker at {_address(app.conf.broker_url)} does not answer "
            f"({plain_cause(error)}): start it, "
            "correct CELERY_BROKER_URL, or unset it to run embedded",
        ) from error
    finally:
        connection.release()


def _address(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    host = parts.hostname or parts.path
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
