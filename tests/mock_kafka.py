"""A Kafka cluster that does what it is told: the mock cluster of librdkafka, by its C functions.

For what a real broker does not do on demand: a leader that moves, a fetch or a commit that is refused with this
error and no other. It knows no topic settings, so clients of ours reach it beside `KafkaEventLog`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import files
from typing import Any, Final

from kafka import KafkaProducer

from storage.event_log import Message, TopicPartition
from storage.event_log_kafka import KafkaMember

FETCH, OFFSET_COMMIT = 1, 8  # numbers of requests in Kafka's protocol
KAFKA_STORAGE_ERROR, UNKNOWN_SERVER_ERROR, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS = 56, -1, 22, 27
OPTIONS: Final = {"api_version": (2, 3)}  # the mock does not say what it can do in a way kafka-python reads


class MockCluster:
    """Three brokers, one topic."""

    def __init__(self, library: ctypes.CDLL, topic: str, partitions: int) -> None:
        self._library = library
        self._topic = topic.encode()
        self._client = library.rd_kafka_new(0, None, None, 0)
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, 3)
        self.servers = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self._must(library.rd_kafka_mock_topic_create(self._cluster, self._topic, partitions, 3))

    def move_leader(self, partition: int, broker: int) -> None:
        """Let broker 1, 2 or 3 lead a partition."""
        self._must(
            self._library.rd_kafka_mock_partition_set_leader(self._cluster, self._topic, partition, broker)
        )

    def refuse_next(self, request: int, *errors: int) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), array)

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    @staticmethod
    def _must(error: int) -> None:
        assert error == 0, f"librdkafka says {error}"


class MockLog:
    """The event log on a mock cluster: our consumer, and the least of the rest."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._producer = KafkaProducer(bootstrap_servers=servers, acks="all", **OPTIONS)
        self._ends: dict[TopicPartition, int] = {}  # nobody else appends

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        pending = [self._producer.send(topic, m.value, m.key and m.key.encode()) for m in messages]
        for future in pending:
            stored = future.get(30)
            self._ends[TopicPartition(topic, stored.partition)] = stored.offset + 1

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaMember:
        return KafkaMember(group, topics, self._servers, 4_000, 1_500, OPTIONS)

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        return dict(self._ends)

    def close(self) -> None:
        self._producer.close()


@contextmanager
def mock_cluster(topic: str, partitions: int = 2) -> Iterator[MockCluster]:
    """A cluster for one test."""
    cluster = MockCluster(_library(), topic, partitions)
    try:
        yield cluster
    finally:
        cluster.close()


def _library() -> ctypes.CDLL:
    path = next(file for file in files("confluent-kafka") or () if file.match("*.libs/librdkafka-*"))
    library = ctypes.CDLL(str(path.locate()))
    pointer, integer, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_new": (pointer, [integer, pointer, pointer, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, integer]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (integer, [pointer, text, integer, integer]),
        "rd_kafka_mock_partition_set_leader": (integer, [pointer, text, ctypes.c_int32, ctypes.c_int32]),
        "rd_kafka_mock_push_request_errors_array": (
            None,
            [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(integer)],
        ),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
