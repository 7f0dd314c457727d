"""nginx, HAProxy and an upstream, as throw-away processes: what the load balancer is measured against."""

from __future__ import annotations

import shutil
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers import ROOT, MissingServerError, Server
from tests.support import free_port

VERSION: Final = "v1"
COUNT: Final = 20
KEPT: Final = 128  # connections to the upstream, as the load balancer may have them

_NGINX_HEAD = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
"""
# An arm that costs nothing: it says what the load balancer checks (whose request, which viewer, which version).
_NGINX_ARM = """\
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location = /readyz {{ return 200 '{{}}'; }}
    location ~ ^/recommend/(?<viewer>[A-Za-z0-9_-]+)$ {{ return 200 '{body}'; }}
  }}
}}
"""
_NGINX_PROXY = """\
  upstream arm {{ server 127.0.0.1:{upstream}; keepalive {kept}; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://arm;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Understudy-Request-Id $request_id;
    }}
  }}
}}
"""
_HAPROXY = """\
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 5s
  http-reuse always
frontend viewers
  bind 127.0.0.1:{port}
  unique-id-format %{{+X}}o%pid%rt%Ts%ci%cp
  http-request set-header X-Understudy-Request-Id %[unique-id]
  default_backend arm
backend arm
  server main 127.0.0.1:{upstream}
"""


def body() -> str:
    """What the arm answers, with nginx's variables for what depends on the request."""
    videos = ",".join(
        f'{{"video_id":"video-{place}","score":{1 / (place + 1):.6f},"sources":["als","trending"]}}'
        for place in range(COUNT)
    )
    head = '"request_id":"$http_x_understudy_request_id","user_id":"$viewer"'
    return f'{{{head},"version":"{VERSION}","degraded":false,"items":[{videos}]}}'


@contextmanager
def nginx_arm(folder: Path) -> Iterator[Server]:
    """The upstream of all proxies: one process, some 20 microseconds a request."""
    port = free_port()
    folder.mkdir()
    config = (_NGINX_HEAD + _NGINX_ARM).format(folder=folder, port=port, body=body())
    with _running(_nginx(folder, port, config)) as server:
        yield server


@contextmanager
def nginx_proxy(folder: Path, upstream: int) -> Iterator[Server]:
    port = free_port()
    folder.mkdir()
    config = (_NGINX_HEAD + _NGINX_PROXY).format(folder=folder, port=port, upstream=upstream, kept=KEPT)
    with _running(_nginx(folder, port, config)) as server:
        yield server


@contextmanager
def haproxy(folder: Path, upstream: int) -> Iterator[Server]:
    port = free_port()
    folder.mkdir()
    file = folder / "haproxy.cfg"
    file.write_text(_HAPROXY.format(port=port, upstream=upstream))
    command = [_program("haproxy"), "-db", "-f", str(file)]
    with _running(Server(command, folder, port, lambda: answers(port, "/recommend/u1"))) as server:
        yield server


@contextmanager
def busy_arm(folder: Path, work_ms: float) -> Iterator[Server]:
    """An arm that computes for `work_ms` at each request, one after the other, as one busy core does."""
    port = free_port()
    folder.mkdir()
    command = [
        "env",
        f"PYTHONPATH={ROOT}",
        sys.executable,
        "-m",
        "tests.benchmarks.busy_arm",
        str(port),
        str(work_ms),
    ]
    with _running(Server(command, folder, port, lambda: answers(port, "/readyz"))) as server:
        yield server


def answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _nginx(folder: Path, port: int, config: str) -> Server:
    file = folder / "nginx.conf"
    file.write_text(config)
    command = [_program("nginx"), "-p", str(folder), "-c", str(file)]
    return Server(command, folder, port, lambda: answers(port, "/recommend/u1"))


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise MissingServerError(f"{name} is not on this machine; run `make services`")
    return found


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()
