"""Real throw-away servers as child processes: each on a free loopback port, in a folder of its own.

`scripts/services` installs what they are made of. Each ends with the test process, even if that is killed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.certificates import certificate_in
from tests.support import free_port, wait_until

ROOT = Path(__file__).parent.parent
_KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/logs
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


KAFKA_USER, KAFKA_PASSWORD = "understudy", "not-a-secret"
_KAFKA_SECURE = """\
listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={folder}/keystore.pem
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
_SCRAM = [
    part
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
    for part in ("--add-scram", f"{mechanism}=[name={KAFKA_USER},password={KAFKA_PASSWORD}]")
]


class MissingServerError(Exception):
    """What a server is made of is not on this machine; the message says what and how to get it."""


@dataclass
class Server:
    """A child process that can be stopped and started again on the same port and data."""

    command: list[str]
    folder: Path
    port: int
    ready: Callable[[], bool]
    secure_port: int = 0  # of a second listener that asks for TLS and a password
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Return once it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_dies_with_us(), *self.command],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        wait_until(self._up, 60, f"{self.command[0]} answering on port {self.port}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait for the end; SIGKILL where it does not come within 20 s."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            log = (self.folder / "server.log").read_text(errors="replace")
            raise AssertionError(f"{self.command[0]} ended with {self.process.returncode}:\n{log[-2_000:]}")
        return self.ready()


@contextmanager
def postgresql_server() -> Iterator[Server]:
    """PostgreSQL; superuser `understudy`, no password, database `postgres`; with TLS for who asks for it.

    Raises:
        MissingServerError: no initdb on PATH or where Debian puts it.
    """
    programs = _postgresql_programs()
    with _folder("postgresql") as folder:
        account = _account_of(folder)
        data, port = folder / "data", free_port()
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "understudy", "-A", "trust", "-E", "UTF8"]
        _run([*account, *initdb, "--locale=C", "--no-sync"], folder)
        command = [
            str(programs / "postgres"),
            "-D",
            str(data),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-k",
            str(folder),
        ]
        tls = _postgresql_tls(folder)
        server = Server([*account, *command, "-F", *tls], folder, port, lambda: _postgresql_answers(port))
        yield from _running(server)


def _postgresql_tls(folder: Path) -> list[str]:
    made = certificate_in(folder)
    if made is None:
        return []
    owner = folder.stat()
    os.chown(made.key, owner.st_uid, owner.st_gid)
    made.key.chmod(0o600)
    files = {"ssl_cert_file": made.chain, "ssl_key_file": made.key}
    return ["-c", "ssl=on", *(part for name, file in files.items() for part in ("-c", f"{name}={file}"))]


def postgresql_url(server: Server, database: str = "postgres") -> str:
    return f"postgresql://understudy@127.0.0.1:{server.port}/{database}"


@contextmanager
def kafka_server() -> Iterator[Server]:
    """Apache Kafka: broker and controller in one process; TLS and a password on `secure_port`.

    Raises:
        MissingServerError: no Java, or no jars in the services folder or KAFKA_HOME.
    """
    home = os.environ.get("KAFKA_HOME")
    java = _java(Path(home) / "libs" if home else _services() / "kafka", "kafka")
    with _folder("kafka") as folder:
        port, controller, secure = free_port(), free_port(), free_port()
        properties = folder / "server.properties"
        where = {"port": port, "controller": controller, "secure": secure, "folder": folder}
        properties.write_text(_KAFKA_PROPERTIES.format(**where) + _kafka_secure(**where))
        format_ = ["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", str(properties)]
        _run([*java, *format_, *_SCRAM], folder)
        command = [*java, "-Xmx512m", "kafka.Kafka", str(properties)]
        yield from _running(Server(command, folder, port, lambda: _kafka_answers(port), secure))


def _kafka_secure(port: int, controller: int, secure: int, folder: Path) -> str:
    made = certificate_in(folder)
    if made is None:
        return ""
    (folder / "keystore.pem").write_text(made.key.read_text() + made.chain.read_text())
    where = {"port": port, "controller": controller, "secure": secure, "folder": folder}
    return _KAFKA_SECURE.format(**where, user=KAFKA_USER, password=KAFKA_PASSWORD)


@contextmanager
def mongodb_server() -> Iterator[Server]:
    """A server that speaks MongoDB's wire protocol, in memory.

    Raises:
        MissingServerError: no Java, or no jars in the services folder.
    """
    java = _java(_services() / "mongo", "mongo", "javac")  # it runs from its source
    with _folder("mongo") as folder:
        port = free_port()
        command = [*java, "-Xmx256m", str(ROOT / "tests/java/MongoLauncher.java"), str(port)]
        yield from _running(Server(command, folder, port, lambda: _listens(port)))


@contextmanager
def podman_server() -> Iterator[Server]:
    """Podman's service on the socket `podman.sock` in its folder: the API that Docker speaks.

    Raises:
        MissingServerError: not root, no podman, or no base image.
    """
    if os.geteuid() != 0 or not shutil.which("podman"):
        raise MissingServerError("podman: needs root and podman on PATH; run `make services`")
    podman = [str(ROOT / "scripts/podman"), "run"]
    base = subprocess.run([*podman, "image", "exists", "python:3.11-slim"], capture_output=True, check=False)
    if base.returncode != 0:
        raise MissingServerError("podman: there is no base image; run `make services`")
    with _folder("podman") as folder:
        socket_ = folder / "podman.sock"
        command = [*podman, "system", "service", "--time=0", f"unix://{socket_}"]
        yield from _running(Server(command, folder, 0, lambda: _podman_answers(socket_)))


@contextmanager
def haproxy() -> Iterator[Callable[[str, int], Server]]:
    """A function that starts HAProxy under a configuration that listens on a port of loopback.

    Raises:
        MissingServerError: no haproxy on PATH.
    """
    program = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if program is None:
        raise MissingServerError("haproxy: not on PATH; run `make services`")
    with _folder("haproxy") as folder, contextlib.ExitStack() as running:

        def start(configuration: str, port: int) -> Server:
            file = folder / f"{port}.cfg"
            file.write_text(configuration)
            _run([program, "-c", "-f", str(file)], folder)
            server = Server([program, "-db", "-f", str(file)], folder, port, lambda: _listens(port))
            running.callback(server.stop)
            server.start()
            return server

        yield start


def podman_url(server: Server) -> str:
    return f"unix://{server.folder / 'podman.sock'}"


def serving_image() -> str:
    """The name of an image with the code as it stands; seconds where only code has changed since the last time."""
    built = subprocess.run(
        [str(ROOT / "scripts/podman"), "image"], capture_output=True, text=True, check=False, timeout=600
    )
    assert built.returncode == 0, built.stderr
    return built.stdout.strip()


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGINT if "postgres" in " ".join(server.command[:6]) else signal.SIGTERM)


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"understudy-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"


def _dies_with_us() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def _services() -> Path:
    return ROOT / os.environ.get("UNDERSTUDY_SERVICES_DIR", ".services")


def _java(jars: Path, name: str, program: str = "java") -> list[str]:
    if not shutil.which(program):
        raise MissingServerError(f"{name}: {program} is not on PATH; run `make services`")
    if not any(jars.glob("*.jar")):
        raise MissingServerError(f"{name}: no jars in {jars}; run `make services`")
    return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", f"{jars}/*"]


def _postgresql_programs() -> Path:
    found = shutil.which("initdb")
    places = (
        [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    for place in places:
        if (place / "initdb").exists():
            return place
    raise MissingServerError(
        "postgresql: initdb is neither on PATH nor in /usr/lib/postgresql; run `make services`"
    )


def _account_of(folder: Path) -> list[str]:
    """How to run as somebody else where we are root, since PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            os.chown(folder, account.pw_uid, account.pw_gid)
            ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
            return ["setpriv", *ids, "--pdeathsig", "KILL"]
    raise MissingServerError("postgresql: running as root, and there is no account `postgres` or `nobody`")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _postgresql_answers(port: int) -> bool:
    import psycopg2

    with contextlib.suppress(psycopg2.OperationalError):
        psycopg2.connect(f"host=127.0.0.1 port={port} user=understudy dbname=postgres").close()
        return True
    return False


def _podman_answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True
    return False


def _kafka_answers(port: int) -> bool:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    if not _listens(port):
        return False
    with contextlib.suppress(KafkaError):
        KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=5_000).close()
        return True
    return False
