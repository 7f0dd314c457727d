"""What the client sends again when an answer is lost."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from understudy.client import Client, Receipt

EVENTS = [{"user_id": "u1"}, {"user_id": "u2", "event_id": "e2"}]


def test_events_sent_again_after_a_lost_answer_carry_the_same_ids() -> None:
    posted: list[list[dict[str, str]]] = []

    class Forgetful(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(msgspec.json.decode(self.rfile.read(int(self.headers["content-length"]))))
            if len(posted) == 1:
                self.close_connection = True  # and the answer is lost
                return
            body = b'{"accepted":2,"rejected":[]}'
            self.send_response(202)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetful) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        client = Client(f"http://127.0.0.1:{server.server_port}")
        assert client.post_events(EVENTS) == Receipt(accepted=2)
        client.close()
        server.shutdown()
    first, second = posted
    assert first == second
    assert [event["user_id"] for event in first] == ["u1", "u2"]
    assert first[0]["event_id"]
    assert first[1]["event_id"] == "e2"
