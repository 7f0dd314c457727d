"""The monitoring files name only what exists; and the check that says so finds what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitoring import checks

ROOT = Path(__file__).resolve().parents[3]


def test_monitoring_files_are_true() -> None:
    assert checks.problems(ROOT) == []


def test_there_is_something_to_check() -> None:
    assert len(list(checks.alerts(ROOT))) >= 3
    assert len(list(checks.dashboard_queries(ROOT))) >= 10
    assert len(checks.documented(ROOT)) >= 10


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with one metric, one alert, one panel and one runbook, all in order."""
    files = {
        "ingest/metrics.py": 'Counter("understudy_records", "Records", ("topic",), registry=registry)',
        "docs/metrics.md": "| `understudy_records_total` | counter | topic | records |",
        "docs/runbooks/a.md": "# A",
        "monitoring/rules/a.yml": (
            "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: rate(understudy_records_total[1m]) > 1\n"
            "    labels: {severity: page}\n    annotations: {summary: a, runbook: docs/runbooks/a.md}\n"
        ),
        "monitoring/tests/a.yml": "alertname: A\n",
        "monitoring/grafana/dashboards/a.json": (
            '{"panels": [{"title": "P", "targets": [{"expr": "sum(understudy_records_total)"}]}, {"title": "row"}]}'
        ),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_true_repository_has_no_problem(small: Path) -> None:
    assert checks.problems(small) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        (
            "ingest/metrics.py",
            "understudy_records",
            "understudy_rows",
            "alert A: understudy_records_total is made nowhere",
        ),
        ("ingest/metrics.py", '("topic",)', '("partition",)', "has labels ('partition',)"),
        ("ingest/metrics.py", '("topic",), ', "", "has labels ()"),
        (
            "docs/metrics.md",
            "understudy_records_total",
            "understudy_x",
            "understudy_records_total is missing from docs",
        ),
        (
            "monitoring/grafana/dashboards/a.json",
            "understudy_records_total",
            "understudy_x",
            "a.json: P: understudy_x",
        ),
        ("monitoring/rules/a.yml", "severity: page", "severity: loud", "severity must be page or notice"),
        ("monitoring/rules/a.yml", "summary: a, ", "", "alert A: no summary"),
        (
            "monitoring/rules/a.yml",
            "runbooks/a.md",
            "runbooks/b.md",
            "runbook 'docs/runbooks/b.md' does not exist",
        ),
        ("monitoring/tests/a.yml", "A", "B", "alert A: no test"),
    ],
)
def test_what_is_untrue_is_named(small: Path, file: str, old: str, new: str, problem: str) -> None:
    path = small / file
    path.write_text(path.read_text().replace(old, new))
    assert problem in "\n".join(checks.problems(small))


@pytest.mark.parametrize(
    ("source", "samples"),
    [
        ('Counter("understudy_a_total", "A")', {"understudy_a_total"}),
        ('prometheus_client.Gauge("understudy_a", "A")', {"understudy_a"}),
        (
            'Histogram("understudy_a_seconds", "A")',
            {f"understudy_a_seconds_{s}" for s in ("bucket", "sum", "count")},
        ),
        ('CounterMetricFamily("understudy_a", "A", labels=["b"])', {"understudy_a_total"}),
        ('Counter("words")', set()),
    ],
)
def test_samples_of_each_kind_of_metric(tmp_path: Path, source: str, samples: set[str]) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core/a.py").write_text(source)
    assert {sample for metric in checks.metrics_in_code(tmp_path) for sample in metric.samples} == samples
