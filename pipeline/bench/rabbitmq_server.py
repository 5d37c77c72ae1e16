"""A RabbitMQ node of its own for a benchmark or a test, beside any that the machine may run."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.bench.redis_server import MissingServerError, free_port

_DEBIAN = Path("/usr/lib/rabbitmq/lib")


def _server_script() -> str | None:
    # Debian's command on the PATH changes to the user rabbitmq; the script behind it does not.
    scripts = sorted(_DEBIAN.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return str(scripts[-1]) if scripts else shutil.which("rabbitmq-server")


class RabbitMQ:
    """A node of its own, that can be killed and started again on its data and port.

    Args:
        folder: Where its data lie.

    Raises:
        MissingServerError: There is no RabbitMQ on this machine.
    """

    def __init__(self, folder: Path) -> None:
        script, epmd = _server_script(), shutil.which("epmd")
        if script is None or epmd is None:
            raise MissingServerError(
                "RabbitMQ is missing: install Debian's rabbitmq-server (make services)"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._script, self._epmd_path, self._folder = script, epmd, folder
        self._port, epmd_port = free_port(), free_port()
        self._settings = _environment(folder, self._port, epmd_port)
        # Our own epmd, in the foreground: the one Erlang would start outlives the node.
        self._epmd = subprocess.Popen(  # noqa: S603
            [epmd, "-address", "127.0.0.1", "-port", str(epmd_port)]
        )
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its AMQP address."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    @contextlib.contextmanager
    def running(self) -> Iterator["RabbitMQ"]:
        """Run while the block does."""
        try:
            self.again()
            yield self
        finally:
            self.stop()

    def again(self) -> None:
        """Start it."""
        log = self._folder / "output.log"
        with log.open("ab") as output:
            self._node = subprocess.Popen(  # noqa: S603
                [self._script],
                env=self._settings,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        _wait_until_ready(self._node, self._port, log)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._node is not None
        self._node.kill()
        self._node.wait(timeout=30)

    def stop(self) -> None:
        """End it in order."""
        if self._node is not None and self._node.poll() is None:
            self._node.terminate()
            self._node.wait(timeout=60)
        self._epmd.terminate()
        self._epmd.wait(timeout=30)


def _environment(folder: Path, port: int, epmd_port: int) -> dict[str, str]:
    config = folder / "rabbitmq.conf"
    config.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    for name in ("enabled_plugins", "rabbitmq-env.conf"):
        (folder / name).write_text("[].\n" if name == "enabled_plugins" else "")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),  # the Erlang cookie is made here
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"quantsync-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "feature_flags"),
        # Run Erlang in the script's own process, so that the id we stop is the node's.
        "RUNNING_UNDER_SYSTEMD": "1",
    }


def _wait_until_ready(node: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            if node.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")
                raise MissingServerError(f"RabbitMQ did not start:\n{said}") from None
            time.sleep(0.1)
