"""Checks that hold the monitoring files true: what they name must exist in the code and in the runbooks.

    python -m monitoring.checks

The metrics are read from the source text, not from running processes, so the check needs no room's imports.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOMS = (
    "core",
    "storage",
    "vectordb",
    "inference",
    "load_balancer",
    "ingest",
    "training",
    "deploy",
    "understudy",
)
PREFIX = "understudy_"
# prometheus_client class -> what it appends to the name it was given
SAMPLES = {
    "Counter": ("_total",),
    "CounterMetricFamily": ("_total",),
    "CounterTally": ("_total",),
    "Gauge": ("",),
    "GaugeMetricFamily": ("",),
    "Histogram": ("_bucket", "_sum", "_count"),
    "HistogramMetricFamily": ("_bucket", "_sum", "_count"),
    "HistogramTally": ("_bucket", "_sum", "_count"),
    "Summary": ("_sum", "_count"),
    "Info": ("_info",),
    "InfoMetricFamily": ("_info",),
}
_NAME = re.compile(rf"\b{PREFIX}[a-z0-9_]+")


@dataclass(frozen=True)
class Metric:
    """A metric as the code makes it. `labels` is None where they are not written as literals."""

    name: str
    kind: str
    labels: tuple[str, ...] | None
    where: str

    @property
    def documented_name(self) -> str:
        """The name as docs/metrics.md shows it: a histogram by its base name."""
        suffixes = SAMPLES[self.kind]
        return self.name + (suffixes[0] if len(suffixes) == 1 else "")

    @property
    def samples(self) -> set[str]:
        return {self.name + suffix for suffix in SAMPLES[self.kind]}


def metrics_in_code(root: Path) -> list[Metric]:
    """Every metric of the rooms whose name is a literal that begins with `understudy_`."""
    files = (path for room in ROOMS for path in sorted((root / room).rglob("*.py")))
    return [metric for path in files for metric in _metrics_of(path, path.relative_to(root))]


def _metrics_of(path: Path, where: Path) -> Iterator[Metric]:
    text = path.read_text()
    if f'"{PREFIX}' not in text:
        return  # most files make no metric, and parsing them all takes a second
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        name = _literal(node.args[0])
        if kind in SAMPLES and isinstance(name, str) and name.startswith(PREFIX):
            name = name.removesuffix("_total" if kind.startswith("Counter") else "_info")
            labels = None if kind.startswith("Info") else _labels(node)
            yield Metric(name, kind, labels, f"{where}:{node.lineno}")


def _labels(call: ast.Call) -> tuple[str, ...] | None:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    node = given.get("labelnames", given.get("labels", call.args[2] if len(call.args) > 2 else None))
    if node is None:
        return ()
    found = _literal(node)
    return tuple(found) if isinstance(found, list | tuple) else None


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def names_in(expression: str) -> set[str]:
    """The metrics of ours that a PromQL expression names."""
    return set(_NAME.findall(expression))


def alerts(root: Path) -> Iterator[dict[str, object]]:
    """Every alert of every rule file."""
    for path in sorted((root / "monitoring/rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def dashboard_queries(root: Path) -> Iterator[tuple[str, str]]:
    """(panel, expression) of every dashboard."""
    for path in sorted((root / "monitoring/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.name}: {panel['title']}", target["expr"]


_ROW = re.compile(rf"^\| `({PREFIX}\w+)` \|[^|]*\|([^|]*)\|", re.MULTILINE)


def documented(root: Path) -> dict[str, tuple[str, ...]]:
    """Metric name -> labels, as the tables of docs/metrics.md show them."""
    rows = _ROW.findall((root / "docs/metrics.md").read_text())
    return {name: tuple(re.findall(r"\w+", labels)) for name, labels in rows}


def undocumented(root: Path) -> Iterator[str]:
    """Where docs/metrics.md and the code part ways."""
    said, made = documented(root), {metric.documented_name: metric for metric in metrics_in_code(root)}
    for name in sorted(said.keys() - made.keys()):
        yield f"docs/metrics.md: {name} is made nowhere in the code"
    for name, metric in sorted(made.items()):
        if name not in said:
            yield f"{metric.where}: {name} is missing from docs/metrics.md"
        elif metric.labels is not None and set(metric.labels) != set(said[name]):
            yield f"{metric.where}: {name} has labels {metric.labels}, docs/metrics.md says {said[name]}"


def unknown_names(root: Path) -> Iterator[str]:
    """Rules and panels that name a metric no process makes: they would be silent for ever."""
    known = {sample for metric in metrics_in_code(root) for sample in metric.samples}
    queries = [(f"alert {alert['alert']}", str(alert["expr"])) for alert in alerts(root)]
    for where, expression in [*queries, *dashboard_queries(root)]:
        for name in sorted(names_in(expression) - known):
            yield f"{where}: {name} is made nowhere in the code"


def incomplete_alerts(root: Path) -> Iterator[str]:
    """Alerts without a severity, a summary, a runbook that exists, or a promtool test."""
    tested = "".join(path.read_text() for path in (root / "monitoring/tests").glob("*.yml"))
    for alert in alerts(root):
        name, labels, notes = alert["alert"], alert.get("labels", {}), alert.get("annotations", {})
        assert isinstance(labels, dict) and isinstance(notes, dict)  # noqa: S101 - promtool has checked the form
        if labels.get("severity") not in {"page", "notice"}:
            yield f"alert {name}: severity must be page or notice"
        if not notes.get("summary"):
            yield f"alert {name}: no summary"
        if not (root / str(notes.get("runbook", "none"))).is_file():
            yield f"alert {name}: its runbook {notes.get('runbook')!r} does not exist"
        if f"alertname: {name}\n" not in tested:
            yield f"alert {name}: no test in monitoring/tests"


def problems(root: Path) -> list[str]:
    """Everything that is untrue, one sentence each."""
    return [*undocumented(root), *unknown_names(root), *incomplete_alerts(root)]


def main() -> None:
    found = problems(Path(__file__).resolve().parent.parent)
    print("\n".join(found) or "The monitoring files are true.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
