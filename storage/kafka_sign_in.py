"""Whether Kafka lets us in, asked before any client is made.

kafka-python (3.0.12) loses what a broker says in the moment in which it closes, which is how a broker refuses a
password: its clients then go on connecting until they may not any longer, and say that there was no broker.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kafka.net.sasl import get_sasl_mechanism

from core.errors import InvalidSettingError

_HANDSHAKE, _AUTHENTICATE = (17, 1), (36, 0)  # api key and version
_UNSUPPORTED_MECHANISM: Final = 33


def refusal(servers: Sequence[str], options: Mapping[str, Any], timeout_s: float) -> str | None:
    """What the first broker that answers has against our certificates, user or password; None: nothing.

    Args:
        servers: as HOST:PORT.
        options: kafka-python's.

    Raises:
        InvalidSettingError: the file of certificates cannot be used.
    """
    if options.get("security_protocol", "PLAINTEXT") == "PLAINTEXT":
        return None
    context = _context(options)
    for server in servers:
        try:
            return _refusal(server, context, options, timeout_s)
        except OSError:
            continue  # away, which is not a refusal; whoever connects next is told so
    return None


def _context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    if not options["security_protocol"].endswith("SSL"):
        return None
    file = options.get("ssl_cafile")
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one, for a file without certificates
        raise InvalidSettingError(f"UNDERSTUDY_KAFKA_CA_FILE: {file}: {error.strerror or error}") from None


def _refusal(
    server: str, context: ssl.SSLContext | None, options: Mapping[str, Any], timeout_s: float
) -> str | None:
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    with socket.create_connection((host, int(port)), timeout_s) as plain:
        if context is None:
            return _sign_in(plain, host, options)
        try:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                return _sign_in(secured, host, options)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not one we trust: {error.verify_message}"


def _sign_in(connection: socket.socket, host: str, options: Mapping[str, Any]) -> str | None:
    if not options["security_protocol"].startswith("SASL"):
        return None
    name = options["sasl_mechanism"]
    (error,) = struct.unpack_from(">h", _ask(connection, _HANDSHAKE, _text(name)))
    if error == _UNSUPPORTED_MECHANISM:
        return f"it does not take {name}"
    mechanism = get_sasl_mechanism(name)(host=host, **options)
    while not mechanism.is_done():
        said = mechanism.auth_bytes()
        answer = _ask(connection, _AUTHENTICATE, struct.pack(f">i{len(said)}s", len(said), said))
        error, length = struct.unpack_from(">hh", answer)
        if error:
            return f"{name} as {options['sasl_plain_username']!r}: {answer[4 : 4 + length].decode()}"
        mechanism.receive(answer[4 + max(length, 0) + 4 :])
    return None


def _text(value: str) -> bytes:
    return struct.pack(f">h{len(value)}s", len(value), value.encode())


def _ask(connection: socket.socket, api: tuple[int, int], body: bytes) -> bytes:
    """The body of the answer to one request. Raises OSError."""
    request = struct.pack(">hhi", *api, 0) + _text("understudy") + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _exactly(connection, 4))
    return _exactly(connection, length)[4:]  # after the correlation id


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise ConnectionError("closed by the broker")
        received += part
    return received
