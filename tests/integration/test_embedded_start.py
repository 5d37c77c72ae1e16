"""What the command does while the stack's processes start, and how it learns that Redis is up."""

import socket
import threading
from pathlib import Path

import pytest

from market.errors import ConfigurationError
from pipeline.bench.redis_server import RedisServer
from pipeline.embedded import EmbeddedStack
from pipeline.embedded_redis import ping_redis
from pipeline.settings import Settings


def test_a_redis_that_serves_is_told_from_one_that_does_not(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    ping_redis(redis_server.socket_path)
    with pytest.raises(FileNotFoundError):
        ping_redis(tmp_path / "none.sock")


@pytest.mark.parametrize(
    ("answer", "says"),
    [(b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"), (b"", "hung up")],
)
def test_a_redis_that_loads_its_data_is_not_up(answer: bytes, says: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "r.sock"))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(100)
                client.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(ConnectionError, match=says):
            ping_redis(tmp_path / "r.sock")
        serving.join()


def test_what_is_wrong_while_the_processes_start_stops_them_again(tmp_path: Path) -> None:
    """Such as a DATABASE_URL that is none: it is said, and nothing is left running."""
    home = tmp_path / "home"
    started: list[int] = []

    def check() -> None:
        started.extend(
            child.process.pid
            for child in (stack._redis, *stack._children)
            if child and child.process
        )
        raise ConfigurationError("it is wrong")

    stack = EmbeddedStack(Settings(quantsync_home=home), meanwhile=check)
    with pytest.raises(ConfigurationError, match="it is wrong"), stack:
        pytest.fail("the stack is up")

    assert len(started) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert not stack.owned
