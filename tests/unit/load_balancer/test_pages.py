"""Health, metrics and version; errors are problem JSON here too."""

import json
import re

from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from core.health import ALIVE
from load_balancer.metrics import BalancerMetrics
from load_balancer.openapi import document
from load_balancer.pages import PageParts, create_pages


def client(problem: str | None = None) -> FlaskClient:
    registry = CollectorRegistry()
    BalancerMetrics(registry)
    parts = PageParts(
        registry, {"traffic_plan": lambda: problem}, lambda: {"service": "load_balancer"}, document("1")
    )
    return create_pages(parts).test_client()


def test_alive_and_ready_are_different_questions() -> None:
    assert client().get("/readyz").status_code == 200
    waiting = client("no plan yet")
    assert waiting.get("/livez").json == ALIVE
    answer = waiting.get("/readyz")
    assert (answer.status_code, answer.json) == (
        503,
        {"ready": False, "problems": {"traffic_plan": "no plan yet"}},
    )


def test_metrics_are_those_of_the_page() -> None:
    answer = client().get("/metrics")
    assert answer.content_type.startswith("text/plain")
    assert "understudy_exposures_waiting 0.0" in answer.text


def test_version() -> None:
    assert client().get("/version").json == {"service": "load_balancer"}


def test_errors_are_problems() -> None:
    for method, path, status in [
        ("GET", "/nothing", 404),
        ("GET", "/readyz/", 404),
        ("POST", "/readyz", 405),
    ]:
        answer = client().open(path, method=method)
        assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), path
        assert answer.json is not None
        assert answer.json["status"] == status
    assert set(client().post("/livez").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_the_description_of_the_api_refers_only_to_what_it_has() -> None:
    described = client().get("/openapi.json").json
    assert described is not None
    assert set(described["paths"]) == {
        "/recommend/{user_id}",
        "/events",
        "/search",
        "/videos/{video_id}/similar",
        "/trending",
        "/livez",
        "/readyz",
        "/version",
    }
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert references == set(described["components"]["schemas"])
