"""The broker of this installation, for commands that look and start nothing."""

from pipeline.embedded_redis import redis_socket, redis_url
from pipeline.settings import Settings, use_settings


def attach(settings: Settings) -> Settings:
    """Settings by which this process finds the installation's broker, whether it is up or not.

    Without a configured broker that is the embedded stack's own. Call it before the Celery app is
    imported.
    """
    if settings.is_embedded:
        settings = settings.model_copy(
            update={
                "celery_broker_url": redis_url(settings.home, 1),
                "celery_result_backend": redis_url(settings.home, 2),
            }
        )
        use_settings(settings)
    return settings


def is_up(settings: Settings) -> bool:
    """Whether an embedded stack of this home may be up: its Redis has a socket."""
    return redis_socket(settings.home).exists()


def is_own(settings: Settings) -> bool:
    """Whether the broker of attached settings is the embedded stack's of this home."""
    return settings.is_embedded or settings.celery_broker_url == redis_url(settings.home, 1)
