"""Addresses that a process listens at."""

import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from market.errors import ConfigurationError, QuantsyncError, UsageError

if TYPE_CHECKING:
    from storage.database import Database

_LAST_PORT = 65_535


class AddressInUseError(QuantsyncError):
    """An address cannot be listened at."""


def read_address(text: str, *, expose: bool) -> tuple[str, int]:
    """Host and port of ``--listen``.

    Args:
        text: ``127.0.0.1:9808``, ``[::1]:9808`` or ``localhost:9808``.
        expose: Whether an address that is not loopback is meant.

    Raises:
        UsageError: Not such an address; or others could reach it, and that was not asked for.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or int(port) > _LAST_PORT:
        raise UsageError(
            f"--listen {text!r} is no address: write host and port, such as 127.0.0.1:9808",
            {"listen": text},
        )
    if not (expose or is_loopback(host)):
        raise UsageError(
            f"--listen {text}: others could reach it, and nothing is encrypted. Put a proxy before "
            "a loopback address, or give --expose",
            {"listen": text},
        )
    return host, int(port)


def listen_text(host: str, port: int) -> str:
    """An address as a URL has it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address, and listens not yet.

    Raises:
        AddressInUseError: The address is taken, or none of this machine's.
    """
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio sends small parts at once on sockets that say they are TCP.
    bound = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise AddressInUseError(
            f"{listen_text(host, port)} cannot be listened at ({error.strerror or error}): name "
            "another address with WEB_LISTEN or --listen",
            {"listen": listen_text(host, port)},
        ) from error
    return bound


def check_free(listen: str) -> None:
    """Make sure that an address can be listened at before anything is started.

    Raises:
        UsageError: It is no address.
        AddressInUseError: It is taken, or none of this machine's.
    """
    bound_socket(*read_address(listen, expose=True)).close()


def check_guarded(database: "Callable[[], Database]", listen: str) -> None:
    """Make sure that an address which others can reach is guarded by a key.

    Args:
        database: Gives the database; asked only where that matters.
        listen: Where the web application is to listen.

    Raises:
        ConfigurationError: It is not: there is no key that opens anything.
        StorageError: It is not known: the database is away.
    """
    if is_loopback(read_address(listen, expose=True)[0]):
        return
    from storage.api_keys import ApiKeys  # noqa: PLC0415  (most addresses are loopback)

    if not any(key.revoked_at is None for key in ApiKeys(database()).all()):
        raise ConfigurationError(
            f"WEB_LISTEN={listen}: others could reach it, and there is no key: `quantsync keys "
            "create --scope operate` makes one",
            {"listen": listen},
        )


def is_loopback(host: str) -> bool:
    """Whether a name or an address, in brackets or not, is this machine's own."""
    if host in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
