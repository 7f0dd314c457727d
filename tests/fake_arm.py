"""An arm for tests: speaks the inference service's contract over real sockets, and misbehaves on demand.

As a process: `python -m tests.fake_arm PORT VERSION [MODE]`. The mode can be changed while it runs by
`GET /mode/MODE`; `GET /seen` answers the heads of the requests so far.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import urllib3

MODES = (
    "ok", "error500", "refuse", "garbage", "empty", "duplicate", "too_many", "bad_id", "wrong_version",
    "wrong_request", "not_http", "short", "slow", "hang", "close", "chunked", "two_lengths", "truncated", "genre400",
    "unknown404", "no_encoder", "unready",
)  # fmt: skip
SLOW_S = 2.0


def _http(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


MISBEHAVIOUR = {
    "error500": _http(500, b'{"title":"broken"}'),
    "refuse": _http(400, b'{"title":"Bad Request","detail":"the genre is unknown"}'),
    "unknown404": _http(404, b'{"title":"Not Found","detail":"the video is unknown"}'),
    "no_encoder": _http(503, b'{"title":"Service Unavailable","detail":"there is no text search here"}'),
    "garbage": _http(200, b"<html>not what you think</html>"),
    "not_http": b"220 mail.example.org ESMTP\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
}


@dataclass
class FakeArm:
    """`requests` are the targets it was asked for; `connections` counts those accepted."""

    version: str = "v1"
    mode: str = "ok"
    requests: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    close_idle: bool = False
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; returns the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop_connections()
        await asyncio.sleep(0)

    def drop_connections(self) -> None:
        """Close every connection, as a restart does."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                target = head.split(" ")[1]
                if target.startswith("/mode/"):
                    self.mode = target.removeprefix("/mode/")
                    writer.write(_http(200, b"{}"))
                elif target == "/seen":
                    writer.write(_http(200, json.dumps(self.heads).encode()))
                elif target == "/readyz":
                    writer.write(_http(503 if self.mode == "unready" else 200, b"{}"))
                else:
                    self.requests.append(target)
                    self.heads.append(head)
                    await self._answer(head, target, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: str, target: str, writer: asyncio.StreamWriter) -> None:
        mode = self.mode
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode == "slow":
            await asyncio.sleep(SLOW_S)
        if mode == "close":
            writer.transport.abort()
            return
        writer.write(self._bytes(mode, head, target))
        if mode == "truncated":
            await writer.drain()
            writer.close()

    def _bytes(self, mode: str, head: str, target: str) -> bytes:
        body = json.dumps(self._document(mode, head, target)).encode()
        if mode == "truncated":
            return _http(200, body)[:-10]
        if mode == "genre400" and "genre=" in target:
            mode = "refuse"
        return MISBEHAVIOUR.get(mode, _http(200, body))

    def _document(self, mode: str, head: str, target: str) -> dict[str, object]:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        count = int(query.get("count", ["20"])[0])
        excluded = set(query.get("exclude", []))
        ids = [
            video for video in (f"{self.version}-{i}" for i in range(count + 120)) if video not in excluded
        ][:count]
        match mode:
            case "empty":
                ids = []
            case "duplicate":
                ids[-1] = ids[0]
            case "too_many":
                ids.append("one-more")
            case "bad_id":
                ids[0] = "a,b"
            case "short":
                ids = ids[:1]
        return {
            "request_id": "another" if mode == "wrong_request" else _header(head, "x-understudy-request-id"),
            "user_id": parts.path.removeprefix("/recommend/"),
            "version": "v0" if mode == "wrong_version" else self.version,
            "degraded": False,
            "items": [
                {"video_id": v, "score": 1.0 / (i + 1), "sources": ["fake"]} for i, v in enumerate(ids)
            ],
        }


def _header(head: str, name: str) -> str:
    lines = [line.partition(":") for line in head.split("\r\n")[1:]]
    return next((value.strip() for key, _, value in lines if key.lower() == name), "")


def requests_seen(url: str) -> list[str]:
    """The heads of the requests that an arm in another process has had."""
    heads: list[str] = urllib3.request("GET", f"{url}/seen").json()
    return heads


def set_mode(url: str, mode: str) -> None:
    """Make an arm in another process behave differently from now on."""
    urllib3.request("GET", f"{url}/mode/{mode}")


async def _main(port: int, version: str, mode: str) -> None:
    await FakeArm(version, mode).start(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "ok"))
