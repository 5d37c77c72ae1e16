"""The server: one process, one event loop, with bounds on what clients may hold open."""

import logging
import resource
from typing import Any

import uvicorn
from fastapi import FastAPI

from pipeline.listening import bound_socket, check_guarded, listen_text, read_address
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from web.connections import bounded_protocol

log = logging.getLogger(__name__)

_KEEP_ALIVE_S = 5
_STOP_AFTER_S = 5
_BACKLOG = 512


class Server(uvicorn.Server):
    """A server that tells answers which go on, such as event streams, that it stops."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal to stop."""
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.services.stopping.set()
        super().handle_exit(sig, frame)


def serve(settings: Settings, listen: str) -> None:
    """Serve until a signal to stop.

    Raises:
        QuantsyncError: It cannot be served there, or must not be.
    """
    host, port = read_address(listen, expose=True)
    listening = bound_socket(host, port)
    listening.listen(_BACKLOG)
    check_guarded(lambda: Runtime(settings).database, listen)
    _raise_file_limit()
    from web.app import create_app  # noqa: PLC0415  (what is wrong with the address is told before)

    app = create_app(settings)
    log.info("http://%s", listen_text(*listening.getsockname()[:2]))
    config = uvicorn.Config(
        app,
        http=bounded_protocol(settings.web_connections, settings.web_patience_s),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.web_proxies.strip()),
        forwarded_allow_ips=settings.web_proxies,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_AFTER_S,
    )
    Server(config).run(sockets=[listening])


def _raise_file_limit() -> None:
    """Every connection is an open file: take as many as this process may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
