"""``quantsync up`` starts the web application with the rest, and ends it with the rest."""

import contextlib
import socket
from pathlib import Path

import httpx

from pipeline.bench.processes import stop
from pipeline.bench.redis_server import free_port
from tests.fixtures.cli import Installation, wait_for


def is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    return False


def test_the_stack_serves_while_it_is_up_and_leaves_nothing_behind(
    installation: Installation, tmp_path: Path
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    installation.environment |= {"WEB_LISTEN": listen, "WEB_UP": "true"}
    up = installation.start("up", "--no-schedule", "--no-admin", errors=tmp_path / "up.log")
    try:
        wait_for("the application", lambda: is_ready(f"http://{listen}"), 60)
        runs = httpx.get(f"http://{listen}/api/v1/runs", timeout=10)
        assert runs.json() == {"runs": []}  # on loopback, while no key was ever made
    finally:
        stop(up)
    with socket.socket() as looking:
        assert looking.connect_ex(("127.0.0.1", int(listen.rpartition(":")[2]))) != 0


def test_a_stack_that_could_not_serve_does_not_start(installation: Installation) -> None:
    """A port in use, an address that others could reach without a key: said at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = installation.run("up", "--web", WEB_LISTEN=f"127.0.0.1:{port}")
    assert (said.code, "Address already in use" in said.stderr) == (1, True)
    said = installation.run("up", "--web", WEB_LISTEN=f"0.0.0.0:{free_port()}")
    assert (said.code, "there is no key" in said.stderr) == (2, True)
    assert not (installation.home / "redis").exists()
