"""The servers that other tests stand on are real, and answer."""

import pytest
import redis
from kombu.connection import Connection

from pipeline.bench.redis_server import RedisServer


def test_redis_keeps_what_is_set_over_tcp_and_over_its_socket(redis_server: RedisServer) -> None:
    with redis_server.client() as client, redis.Redis.from_url(redis_server.unix_url()) as local:
        client.set("key", "value")
        assert local.get("key") == b"value"
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_redis_is_empty_at_the_start_of_each_test(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.info("keyspace") == {}


@pytest.mark.services
def test_rabbitmq_delivers_what_is_published(rabbitmq: str) -> None:
    with Connection(rabbitmq) as connection:
        queue = connection.SimpleQueue("services")
        queue.put({"run_id": 1})
        message = queue.get(timeout=10)
        message.ack()
        queue.close()
    assert message.payload == {"run_id": 1}
