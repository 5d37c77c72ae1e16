"""The monitor Flower: never open, and behind a password when it runs."""

import base64
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from market.errors import ConfigurationError
from pipeline import cli_monitor
from pipeline.bench.processes import stop
from pipeline.bench.redis_server import RedisServer, free_port
from pipeline.cli import app as command_line
from pipeline.monitor_link import find_monitor
from pipeline.settings import Settings
from tests.fixtures.cli import Installation, wait_for


def status(url: str, password: str | None = None) -> int:
    """The status of an answer; 0 while nobody listens."""
    headers = {}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(password.encode()).decode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=30
        ) as page:
            return int(page.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("auth", [None, "watch", "watch:", ":s3cret"])
def test_flower_does_not_start_without_a_user_and_a_password(
    auth: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is half of it is none; nothing is started."""
    settings = Settings(celery_broker_url="redis://127.0.0.1:1/1", flower_basic_auth=auth)
    monkeypatch.setattr(cli_monitor, "read_settings", lambda: settings)
    monkeypatch.setattr("os.execve", lambda *_: pytest.fail("it was started"))

    refused = CliRunner().invoke(command_line, ["flower"])

    assert isinstance(refused.exception, ConfigurationError)
    assert "never run open" in refused.exception.message


class Open(BaseHTTPRequestHandler):
    """A monitor that lets everybody in."""

    def do_GET(self) -> None:
        """Answer without asking who it is."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_page_says_of_a_monitor_whether_it_is_there_and_whether_it_is_guarded() -> None:
    with HTTPServer(("127.0.0.1", 0), Open) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.handle_request).start()
        assert find_monitor(url).is_guarded is False
    assert find_monitor(url).is_guarded is None


@pytest.mark.lengthy
def test_flower_is_read_with_the_password_only(
    installation: Installation, redis_server: RedisServer, tmp_path: Path
) -> None:
    """401 without it or with another, 200 with it; no command line shows it."""
    installation.environment |= {
        "CELERY_BROKER_URL": redis_server.url(1),
        "CELERY_RESULT_BACKEND": redis_server.url(2),
        "FLOWER_BASIC_AUTH": "watch:s3cret",
    }
    port = free_port()
    flower = installation.start("flower", "--listen", f"127.0.0.1:{port}", errors=tmp_path / "log")
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for("flower", lambda: status(url) != 0 or flower.poll() is not None, 60)
        assert status(url) == status(url, "watch:guess") == 401, (tmp_path / "log").read_text()
        assert status(url, "watch:s3cret") == 200
        assert find_monitor(url).is_guarded
        assert "s3cret" not in Path(f"/proc/{flower.pid}/cmdline").read_text()
    finally:
        stop(flower)
