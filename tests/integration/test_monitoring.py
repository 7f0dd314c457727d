"""Prometheus' and Alertmanager's own tools accept our files, and a fired alert reaches Slack's address."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from prometheus_client import Gauge, start_http_server

from core.metrics import new_registry
from monitoring import checks
from tests.support import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
pytestmark = pytest.mark.promtool


def tool(*names: str) -> str:
    """The first of these programs that is installed; absent, the test is skipped by name or fails."""
    for name in names:
        if path := shutil.which(name):
            return path
    message = f"{names[0]} is not installed"
    if os.environ.get("UNDERSTUDY_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def succeeds(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=MONITORING, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_its_configuration() -> None:
    succeeds(tool("promtool"), "check", "config", "prometheus.yml")


@contextmanager
def reader_process() -> Iterator[str]:
    """`/metrics` of a process of ours, without the process."""
    registry = new_registry("reader", version="1")
    Gauge("understudy_reader_lag_records", "Lag", ["topic"], registry=registry).labels(
        "user_interactions"
    ).set(7)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [tool("prometheus"), "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def test_a_process_in_the_targets_file_is_scraped_under_its_labels(tmp_path: Path) -> None:
    shutil.copytree(MONITORING, tmp_path / "monitoring")
    configuration = tmp_path / "monitoring/prometheus.yml"
    # Only the waiting is shortened.
    configuration.write_text(re.sub(r"(interval|timeout): \d+s", r"\1: 1s", configuration.read_text()))
    with reader_process() as address, prometheus(tmp_path / "monitoring") as url:
        (tmp_path / "var/run").mkdir(parents=True)
        targets = [{"targets": [address], "labels": {"service": "reader"}}]
        (tmp_path / "var/run/targets.json").write_text(json.dumps(targets))

        def found(query: str) -> list[Any]:
            try:
                answer = urllib3.request("GET", f"{url}/api/v1/query", fields={"query": query}, retries=False)
            except urllib3.exceptions.HTTPError:
                return []
            return list(answer.json()["data"]["result"]) if answer.status == 200 else []

        wait_until(lambda: found('up{job="understudy", service="reader"} == 1'), 30, "the scrape")
        (lag,) = found("understudy_reader_lag_records")
        (process,) = found('understudy_process_info{service="reader"}')
    assert (lag["value"][1], lag["metric"]["service"]) == ("7", "reader")
    assert "exported_service" not in process["metric"]


def test_rules_fire_when_they_should_and_only_then() -> None:
    tests = sorted(path.relative_to(MONITORING) for path in (MONITORING / "tests").glob("*.yml"))
    assert tests
    succeeds(tool("promtool"), "test", "rules", *tests)


def test_every_panel_is_valid_promql(tmp_path: Path) -> None:
    rules = [{"record": "panel", "expr": query} for _, query in checks.dashboard_queries(ROOT)]
    # promtool refuses the same rule twice, so each gets a label of its own.
    for number, rule in enumerate(rules):
        rule["labels"] = {"panel": str(number)}  # type: ignore[assignment]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    succeeds(tool("promtool"), "check", "rules", file)


def test_alertmanager_accepts_its_configuration() -> None:
    succeeds(tool("amtool"), "check-config", "alertmanager.yml")


@contextmanager
def slack(received: list[dict[str, object]]) -> Iterator[str]:
    """A stand-in for Slack's webhook on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    program, port = tool("alertmanager", "prometheus-alertmanager"), free_port()
    command = [program, "--config.file=alertmanager.yml", f"--storage.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def test_a_fired_alert_reaches_slack_with_summary_and_runbook(tmp_path: Path) -> None:
    received: list[dict[str, object]] = []
    amtool = tool("amtool")
    # Only the waiting is shortened: routes, receiver and texts are those of the file.
    text = (MONITORING / "alertmanager.yml").read_text().replace("group_wait: 10s", "group_wait: 100ms")
    (tmp_path / "alertmanager.yml").write_text(text)
    with slack(received) as address, alertmanager(tmp_path) as url:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/slack_url").write_text(address)
        notes = [
            "--annotation=summary=The reader stands still",
            "--annotation=runbook=docs/runbooks/reader-stuck.md",
        ]
        alert = [amtool, f"--alertmanager.url={url}", "alert", "add", "ReaderStuck", "severity=page", *notes]
        wait_until(
            lambda: subprocess.run(alert, check=False, capture_output=True).returncode == 0, 20, "the alert"
        )
        wait_until(lambda: received, 20, "Slack's message")
    message = json.dumps(received[0])
    assert "ReaderStuck" in message
    assert "The reader stands still" in message
    assert "docs/runbooks/reader-stuck.md" in message
