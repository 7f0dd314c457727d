"""Servers that ask for TLS and a password: what the settings say reaches every client."""

from __future__ import annotations

import uuid
from pathlib import Path

import psycopg2
import pytest

from core.clock import SystemClock
from core.errors import AccessDeniedError, DependencyError, InvalidSettingError
from core.settings import PlatformSettings
from storage.connect import open_event_log, open_main_store, open_serving_store
from storage.event_log import Message
from storage.event_log_kafka import KafkaEventLog
from storage.serving_store_mongo import MongoServingStore
from tests.certificates import certificate_in
from tests.servers import KAFKA_PASSWORD, KAFKA_USER, Server
from tests.support import free_port, wait_until
from tests.tls_terminator import tls_terminator


def chain_of(server: Server) -> Path:
    chain = server.folder / "chain.pem"
    if not chain.exists():
        pytest.skip("openssl is not on PATH, so the servers speak no TLS")
    return chain


def signed_in(server: Server, mechanism: str, password_file: Path) -> PlatformSettings:
    return PlatformSettings.load(
        kafka_servers=f"127.0.0.1:{server.secure_port}",
        kafka_security="SASL_SSL",
        kafka_mechanism=mechanism,
        kafka_user=KAFKA_USER,
        kafka_password_file=password_file,
        kafka_ca_file=chain_of(server),
    )


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_kafka_with_tls_and_a_password_from_a_file(
    kafka_server: Server, tmp_path: Path, mechanism: str
) -> None:
    (tmp_path / "password").write_text(f"{KAFKA_PASSWORD}\n")
    log = open_event_log(signed_in(kafka_server, mechanism, tmp_path / "password"), SystemClock())
    topic = f"secure-{uuid.uuid4().hex}"
    log.append(topic, [Message("u", b"for our eyes")])
    consumer = log.consumer(topic, [topic])
    records = []
    wait_until(lambda: records.extend(consumer.poll(10, 0.1)) or records, 60, "the record")
    assert [record.value for record in records] == [b"for our eyes"]
    assert sum(log.ends(topic).values()) == 1
    consumer.close()
    log.close()


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_wrong_password_is_refused_at_once_and_for_good_and_we_say_to_whom(
    kafka_server: Server, tmp_path: Path, mechanism: str
) -> None:
    (tmp_path / "password").write_text("hunter2")
    log = open_event_log(signed_in(kafka_server, mechanism, tmp_path / "password"), SystemClock())
    for attempt in (lambda: log.append("t", [Message("u", b"x")]), lambda: log.consumer("g", ["t"])):
        with pytest.raises(AccessDeniedError, match=f"{mechanism} as '{KAFKA_USER}'") as refused:
            attempt()
        assert "hunter2" not in str(refused.value)
        assert (refused.value.retriable, refused.value.exit_code) == (False, 4)
    log.close()


@pytest.mark.kafka
def test_a_broker_that_shows_another_certificate_is_refused(kafka_server: Server, tmp_path: Path) -> None:
    chain_of(kafka_server)
    other = certificate_in(tmp_path)
    assert other is not None
    server = f"127.0.0.1:{kafka_server.secure_port}"
    log = KafkaEventLog(server, options={"security_protocol": "SSL", "ssl_cafile": str(other.chain)})
    with pytest.raises(AccessDeniedError, match="certificate is not one we trust"):
        log.ends("t")


@pytest.mark.kafka
def test_a_mechanism_that_the_broker_does_not_take_is_named(kafka_server: Server) -> None:
    options = {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(chain_of(kafka_server)),
        "sasl_mechanism": "OAUTHBEARER",
    }
    log = KafkaEventLog(f"127.0.0.1:{kafka_server.secure_port}", options=options)
    with pytest.raises(AccessDeniedError, match="does not take OAUTHBEARER"):
        log.ends("t")


def test_certificates_that_cannot_be_read_are_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for file in (tmp_path / "absent.pem", tmp_path / "empty.pem"):
        options = {"security_protocol": "SSL", "ssl_cafile": str(file)}
        log = KafkaEventLog(f"127.0.0.1:{free_port()}", options=options)
        with pytest.raises(InvalidSettingError, match=f"UNDERSTUDY_KAFKA_CA_FILE: {file}"):
            log.ends("t")


@pytest.mark.postgresql
def test_postgresql_over_tls_with_its_url_from_a_file(postgresql_server: Server, tmp_path: Path) -> None:
    chain = chain_of(postgresql_server)
    url = tmp_path / "url"
    address = f"postgresql://understudy@127.0.0.1:{postgresql_server.port}/postgres"
    url.write_text(f"{address}?sslmode=verify-full&sslrootcert={chain}\n")
    database = open_main_store(PlatformSettings.load(database_url_file=url))
    with database.read() as connection:
        query = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        encrypted, version = connection.exec_driver_sql(query).one()
    assert encrypted and version.startswith("TLS")
    database.close()


@pytest.mark.postgresql
def test_a_postgresql_that_shows_another_certificate_is_refused(
    postgresql_server: Server, tmp_path: Path
) -> None:
    chain_of(postgresql_server)
    other = certificate_in(tmp_path)
    assert other is not None
    address = f"postgresql://understudy@127.0.0.1:{postgresql_server.port}/postgres"
    settings = PlatformSettings.load(database_url=f"{address}?sslmode=verify-full&sslrootcert={other.chain}")
    database = open_main_store(settings)
    with pytest.raises(DependencyError, match="certificate verify failed"):
        database.ping()
    database.close()
    psycopg2.connect(address).close()  # it was the certificate, not the server


@pytest.mark.mongodb
def test_mongodb_over_tls_with_its_url_from_a_file_and_not_with_another_certificate(
    mongodb_url: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    ours, other = certificate_in(tmp_path), certificate_in(tmp_path / "other")
    if ours is None or other is None:
        pytest.skip("openssl is not on PATH, so nothing speaks TLS")
    collection = f"c{uuid.uuid4().hex}"
    with tls_terminator(int(mongodb_url.rpartition(":")[2]), ours) as port:
        address = f"mongodb://127.0.0.1:{port}/secure?tls=true&tlsCAFile="
        (tmp_path / "url").write_text(f"{address}{ours.chain}\n")
        store = open_serving_store(PlatformSettings.load(mongodb_url_file=tmp_path / "url"), SystemClock())
        store.put_many(collection, {"k": {"for": "our eyes"}})
        assert store.get(collection, "k") == {"for": "our eyes"}
        store.close()
        for url, why in (
            (f"{address}{other.chain}", "certificate verify failed"),
            (f"mongodb://127.0.0.1:{port}/secure", "connection closed"),
        ):
            refused = MongoServingStore(url, SystemClock(), timeout_ms=1_000)
            with pytest.raises(DependencyError, match=why):
                refused.get(collection, "k")
            refused.close()


def test_certificates_of_mongodb_that_are_not_there_are_refused(tmp_path: Path) -> None:
    url = f"mongodb://127.0.0.1:{free_port()}/?tls=true&tlsCAFile={tmp_path / 'absent.pem'}"
    with pytest.raises(InvalidSettingError, match=r"UNDERSTUDY_MONGODB_URL: .*absent\.pem"):
        MongoServingStore(url, SystemClock())
