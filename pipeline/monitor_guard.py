"""Flower is never run open, however it is started."""

import os
from collections.abc import Sequence

from market.errors import ConfigurationError
from pipeline.settings import Settings

_LOGINS = ("--basic-auth", "--basic_auth", "--auth")


def flower_login(settings: Settings) -> str:
    """``user:password`` of the monitor.

    Raises:
        ConfigurationError: None is set, or one of the two is missing.
    """
    login = settings.flower_basic_auth or ""
    user, colon, password = login.partition(":")
    if not (user and colon and password):
        raise ConfigurationError(
            "set FLOWER_BASIC_AUTH=user:password, in the environment or in .env: Flower is never "
            "run open"
        )
    return login


def guard_monitor(arguments: Sequence[str], settings: Settings) -> None:
    """Where this process is Flower, let it ask for the login that is configured.

    Flower reads its environment, but no ``.env``, and without a login serves everybody.

    Args:
        arguments: Of the process, its name first.
        settings: Of this installation.

    Raises:
        SystemExit: It would be open: with the reason.
    """
    if not os.path.basename(arguments[0]).startswith(("celery", "__main__")):  # noqa: PTH119
        return
    if "flower" not in arguments[1:] or any(a.startswith(_LOGINS) for a in arguments[1:]):
        return
    try:
        os.environ["FLOWER_BASIC_AUTH"] = flower_login(settings)
    except ConfigurationError as error:
        raise SystemExit(error.message) from error
