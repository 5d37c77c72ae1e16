"""What systemd is told of a worker that runs as a service: it is ready, it lives, it stops."""

import logging
import socket

from pipeline.settings import systemd_socket

log = logging.getLogger(__name__)

READY, LIVES, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


def tell_systemd(state: str) -> None:
    """Send a state to the service manager; does nothing in a process that is no service.

    Args:
        state: One of the states above, as sd_notify(3) spells them.
    """
    address = systemd_socket()
    if address is None:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            # An abstract name is written with @ for the zero byte that it begins with.
            abstract = address.startswith("@")
            sender.sendto(state.encode(), "\0" + address[1:] if abstract else address)
    except OSError as error:
        log.warning("systemd could not be told %s at %s: %s", state, address, error)
