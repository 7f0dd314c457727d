"""TLS in front of a server that speaks none."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from tests.certificates import Certificate


@contextmanager
def tls_terminator(port: int, certificate: Certificate) -> Iterator[int]:
    """The port of loopback on which `port` is reached over TLS, until the block ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    begun: Future[tuple[int, Callable[[], None]]] = Future()

    async def serve() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        server = await asyncio.start_server(
            lambda reader, writer: _between(reader, writer, port), "127.0.0.1", 0, ssl=context
        )
        address = server.sockets[0].getsockname()
        begun.set_result((address[1], lambda: loop.call_soon_threadsafe(stop.set)))
        await stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="tls-terminator")
    thread.start()
    secure, stop = begun.result(30)
    try:
        yield secure
    finally:
        stop()
        thread.join(30)


async def _between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # whoever hangs up, hangs up for both
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()
