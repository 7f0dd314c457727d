"""`python fake_serve.py HOME VERSION PORT`: answers like the inference service of a version, and starts at once.

A version whose name begins with `mute` answers no recommendation; one that begins with `dead` ends by itself.
"""

from __future__ import annotations

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main(home: str, version: str, port: str) -> None:
    if version.startswith("dead"):
        raise SystemExit(f"{version} cannot start: no such model")
    manifest = Path(home, "bundles", version, "manifest.json").read_bytes()
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/readyz":
                self._answer(200, {"ready": True})
            elif path == "/version":
                self._answer(200, {"service": "inference", "version": version, "bundle_digest": digest})
            elif path.startswith("/recommend/") and not version.startswith("mute"):
                items = [{"video_id": f"v{n}", "score": 1 / n, "sources": []} for n in range(1, 11)]
                self._answer(200, {"items": items, "version": version})
            else:
                self._answer(404, {})

        def _answer(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
