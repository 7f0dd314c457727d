"""The event log in Apache Kafka."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import TopicPartition as KafkaPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    FencedInstanceIdError,
    KafkaError,
    MessageSizeTooLargeError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    TopicAlreadyExistsError,
    UnsupportedSaslMechanismError,
)
from kafka.structs import MemberState, OffsetAndMetadata

from core.errors import AccessDeniedError, DependencyError, InvalidInputError, InvalidSettingError
from storage.event_log import CommitRefusedError, Message, Positions, Record, TopicPartition
from storage.kafka_sign_in import refusal

_log = logging.getLogger(__name__)

_TIME_OF_RECEIPT: Final = {"message.timestamp.type": "LogAppendTime"}
_LOST = (CommitFailedError, RebalanceInProgressError, FencedInstanceIdError)
_DENIED = (AuthorizationError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class KafkaEventLog:
    """Event log on Kafka brokers. Connects on first use, so that a process may start before its brokers.

    Topics are created where they are absent, with `partitions` partitions and the broker's receipt time.
    """

    def __init__(
        self,
        servers: str,
        partitions: int = 4,
        timeout_ms: int = 10_000,
        session_timeout_ms: int = 10_000,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """`options` are kafka-python's, for every client: how to sign in, whom to trust."""
        self._options = options
        self._servers = [server.strip() for server in servers.split(",") if server.strip()]
        self._partitions = partitions
        self._timeout_ms = timeout_ms
        self._session_timeout_ms = session_timeout_ms
        self._lock = threading.Lock()
        self._topics_lock = threading.Lock()
        self._producer: Any = None
        self._admin: Any = None
        self._known: set[str] = set()

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Return once every in-sync replica has every message.

        Raises:
            DependencyError: some may have been stored, some not.
            AccessDeniedError: the brokers do not take our user, password or certificates.
            InvalidInputError: the broker takes no message of this size.
        """
        if not messages:
            return
        with self._translated():
            self._make_topics([topic])
            producer = self._sender()
            pending = [
                producer.send(topic, message.value, None if message.key is None else message.key.encode())
                for message in messages
            ]
            deadline = time.monotonic() + self._timeout_ms / 1000
            for future in pending:
                future.get(max(0.0, deadline - time.monotonic()))

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaMember:
        """Join `group`; partitions come with the first polls. Raises DependencyError, InvalidSettingError."""
        with self._translated():
            self._make_topics(topics)
            servers = ",".join(self._servers)
            return KafkaMember(
                group, topics, servers, self._timeout_ms, self._session_timeout_ms, self._options
            )

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        with self._translated():
            self._make_topics([topic])
            admin = self._administrator()
            described = admin.describe_topics([topic])[0]["partitions"]
            partitions = [KafkaPartition(topic, entry["partition_index"]) for entry in described]
            found = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        return {TopicPartition(*where): found[where].offset for where in sorted(partitions)}

    def close(self) -> None:
        with self._lock:
            clients, self._producer, self._admin = (self._producer, self._admin), None, None
        for client in clients:
            if client is not None:
                client.close()

    def _sender(self) -> Any:
        with self._lock:
            if self._producer is None:
                self._producer = KafkaProducer(
                    bootstrap_servers=self._servers,
                    acks="all",
                    enable_idempotence=True,
                    delivery_timeout_ms=self._timeout_ms,
                    request_timeout_ms=self._timeout_ms // 2,
                    max_block_ms=self._timeout_ms,
                    bootstrap_timeout_ms=self._timeout_ms,
                    reconnect_backoff_max_ms=1_000,
                    **self._options,
                )
            return self._producer

    def _administrator(self) -> Any:
        with self._lock:
            if self._admin is None:
                self._check_access()
                self._admin = KafkaAdminClient(
                    bootstrap_servers=self._servers,
                    request_timeout_ms=self._timeout_ms,
                    bootstrap_timeout_ms=self._timeout_ms,
                    reconnect_backoff_max_ms=1_000,
                    **self._options,
                )
            return self._admin

    def _check_access(self) -> None:
        if why := refusal(self._servers, self._options, self._timeout_ms / 1000):
            raise AccessDeniedError(f"Kafka at {','.join(self._servers)} does not let us in: {why}")

    def _make_topics(self, topics: Sequence[str]) -> None:
        absent = [topic for topic in topics if topic not in self._known]
        if not absent:
            return
        admin = self._administrator()
        with self._topics_lock:  # the client refuses more than a few requests at once
            for topic in absent:
                self._make_topic(admin, topic)
                self._known.add(topic)

    def _make_topic(self, admin: Any, topic: str) -> None:
        wanted = {topic: {"num_partitions": self._partitions, "configs": _TIME_OF_RECEIPT}}
        try:
            admin.create_topics(wanted, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            self._check_time(admin, topic)

    def _check_time(self, admin: Any, topic: str) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, _TIME_OF_RECEIPT)
        found = admin.describe_configs([resource], config_filter="all")["topic"][topic]
        if found["message.timestamp.type"]["value"] != "LogAppendTime":
            raise InvalidSettingError(
                f"Kafka topic {topic} keeps the sender's time, which nobody can trust:"
                " set its message.timestamp.type to LogAppendTime"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with _translated(",".join(self._servers)):
            yield


class KafkaMember:
    """One member of a consumer group; offsets are committed only by `commit`."""

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        servers: str,
        timeout_ms: int,
        session_timeout_ms: int,
        options: Mapping[str, Any],
    ) -> None:
        self._group = group
        self._topics = topics
        self._servers = servers
        self._options = options
        self._timeout_ms = timeout_ms
        self._session_timeout_ms = session_timeout_ms
        self._unstable_since: float | None = None
        self._consumer: Any = self._joined()

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records of the partitions this member has; joining and rebalancing happen in here."""
        try:
            with _translated(self._servers):
                found = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=max_records)
                self._replace_if_stuck()
        except _NoPositionError as problem:
            self._begin(problem.partitions)
            return []
        return [_record(record) for records in found.values() for record in records]

    def commit(self, positions: Positions) -> None:
        """Raises CommitRefusedError where a partition is no longer this member's, DependencyError."""
        if not positions:
            return
        wanted = {KafkaPartition(*where): OffsetAndMetadata(at, "", -1) for where, at in positions.items()}
        # The broker takes a commit for any partition from any member of the group; we do not.
        if foreign := wanted.keys() - self._consumer.assignment():
            raise CommitRefusedError(f"group {self._group}: {sorted(foreign)} went to another reader")
        try:
            with _translated(self._servers):
                self._consumer.commit(wanted, timeout_ms=self._timeout_ms)
        except DependencyError as error:
            if isinstance(error.__cause__, _LOST):
                raise CommitRefusedError(f"group {self._group} was rebalanced: {error}") from error
            raise

    def close(self) -> None:
        with _translated(self._servers):
            self._consumer.close(autocommit=False, timeout_ms=self._timeout_ms)

    def _joined(self) -> Any:
        consumer = KafkaConsumer(
            *self._topics,
            bootstrap_servers=self._servers.split(","),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",  # where to begin without a committed offset is decided in `_begin`
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=self._session_timeout_ms // 4,
            request_timeout_ms=self._timeout_ms,
            bootstrap_timeout_ms=self._timeout_ms,
            reconnect_backoff_max_ms=1_000,
            allow_auto_create_topics=False,
            **self._options,
        )
        for topic in self._topics:
            consumer.partitions_for_topic(topic)  # else the first join knows no partitions, and joins again
        return consumer

    def _replace_if_stuck(self) -> None:
        """Join as a new member when this one has long been neither in the group nor out of it.

        kafka-python (3.0.12) forgets a join that a change of the topic's partitions began and that a poll's
        timeout interrupted: such a member sends no heartbeats and reads nothing, for ever.
        """
        if self._consumer.group_metadata().state == MemberState.STABLE:
            self._unstable_since = None
            return
        now = time.monotonic()
        if self._unstable_since is None:
            self._unstable_since = now
        elif now - self._unstable_since > 3 * self._session_timeout_ms / 1000:
            _log.warning("group %s: not a stable member for long, joining anew", self._group)
            stuck, self._consumer, self._unstable_since = self._consumer, self._joined(), None
            stuck.close(autocommit=False, timeout_ms=self._timeout_ms)

    def _begin(self, partitions: dict[KafkaPartition, int | None]) -> None:
        """Begin at the oldest record: of a partition never committed before, or trimmed past our offset."""
        with _translated(self._servers):
            oldest = self._consumer.beginning_offsets(list(partitions))
            for where, offset in partitions.items():
                if offset is not None and offset > oldest[where]:
                    raise DependencyError(
                        f"{where} ends before our offset {offset}: the topic was made anew, or lost its end"
                    )
                if offset is not None:
                    # The account of offsets (storage.progress) counts the gap as skipped.
                    _log.error("%s was trimmed: offsets %d to %d are lost", where, offset, oldest[where] - 1)
                self._consumer.seek(where, oldest[where])


class _NoPositionError(Exception):
    """Partitions without a usable position: None where there is none, else the offset out of range."""

    def __init__(self, partitions: dict[KafkaPartition, int | None]) -> None:
        super().__init__(partitions)
        self.partitions = partitions


@contextmanager
def _translated(servers: str) -> Iterator[None]:
    try:
        yield
    except NoOffsetForPartitionError as error:
        raise _NoPositionError(dict.fromkeys(error.args[0])) from error
    except OffsetOutOfRangeError as error:
        raise _NoPositionError(dict(error.args[0])) from error
    except _TOO_LARGE as error:
        raise InvalidInputError(f"Kafka at {servers}: {error}") from error
    except _DENIED as error:
        raise AccessDeniedError(f"Kafka at {servers} does not let us in: {error}") from error
    except (KafkaError, OSError) as error:
        raise DependencyError(f"Kafka at {servers}: {error}") from error


def _record(record: Any) -> Record:
    key = None if record.key is None else record.key.decode(errors="replace")
    return Record(record.topic, record.partition, record.offset, record.timestamp, key, record.value)
