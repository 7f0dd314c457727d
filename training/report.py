"""A bundle's offline evaluation as one page: manifest and figures in, self-contained HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from load_balancer.control.words import Badge, count, date_time, plural
from storage.bundles import Manifest
from storage.offline import OfflineReport
from training.report_plots import (
    BAR_PAPERS,
    PAPERS,
    Comparison,
    gain_plot,
    gains,
    interval_plot,
    shares_of,
)

FIGURES: Final = (
    ("ndcg@20", "NDCG@20", "what was watched later, the higher in the list the better"),
    ("recall@20", "recall@20", "share of what was watched later"),
    ("hit@10", "hit rate@10", "viewers with at least one hit among the first ten"),
    ("coverage@20", "coverage", "share of the catalogue shown to anybody"),
    ("cold_share", "cold videos", "share of places given to videos with under ten interactions"),
    ("gini", "Gini", "0: all videos shown equally often; 1: one takes everything"),
)
PERCENT: Final = frozenset({"coverage@20", "cold_share"})
MOST_FEATURES: Final = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the offline gate said. `main` is the version it compared with, empty for trending alone."""

    passed: bool
    main: str
    reasons: Sequence[str]
    figures: Sequence[str]


def page(
    manifest: Manifest,
    report: OfflineReport,
    verdict: Verdict,
    comparisons: Sequence[Comparison],
    main: Mapping[str, Any] | None = None,
) -> str:
    """The whole page.

    Args:
        manifest: the bundle's own.
        report: its figures viewer by viewer.
        verdict: of the gate.
        comparisons: differences with their intervals, in the order in which they are drawn.
        main: the evaluation of the version compared with, where it was asked the same.
    """
    evaluation = manifest.evaluation
    lists = {name: evaluation.get(name, []) for name in ("model", "trending", "popularity")}
    names = {"model": manifest.version, "trending": "trending", "popularity": "popularity"}
    if main is not None and verdict.main:
        lists["main"], names["main"] = main.get("model", []), verdict.main
    warnings = manifest.notes.split("; ")[1:]
    html: str = _template("report.html").render(
        title=f"{manifest.version}: offline evaluation",
        version=manifest.version,
        style=_style(),
        badge=badge(verdict),
        headline=headline(manifest, report, comparisons),
        verdict=verdict,
        facts=_facts(manifest, report, comparisons),
        comparisons=comparisons,
        interval_plots=[interval_plot(comparisons, paper) for paper in PAPERS],
        gains=gains(report.ndcg, report.trending),
        gain_plots=[gain_plot(report.ndcg, report.trending, paper) for paper in BAR_PAPERS],
        names=names,
        means=_means(lists),
        splits=_splits(evaluation, lists),
        half_lives=[f"{days:g} d" for days in evaluation.get("trending_half_lives_days", [])],
        figures=FIGURES,
        sources=_sources(evaluation),
        features=_features(evaluation),
        warnings=warnings,
        details=_details(manifest),
        viewers=len(report.viewers),
    )
    return html


def badge(verdict: Verdict) -> Badge:
    """The verdict in a few words, with the tone of the style sheet."""
    if verdict.passed:
        return Badge("Passes the gate" if verdict.main else "Holds against trending", "good")
    if not verdict.figures:
        return Badge("Cannot be told", "warn")
    return Badge("Refused by the gate" if verdict.main else "Worse than trending", "bad")


def headline(manifest: Manifest, report: OfflineReport, comparisons: Sequence[Comparison]) -> str:
    """The one sentence to remember."""
    if not len(report.viewers):
        return "No viewer was asked after a split in time, so nothing can be told."
    asked = f"{plural(len(report.viewers), 'viewer')}, {plural(len(manifest.evaluation.get('model', [])), 'split')}"
    trending = next((found for found in comparisons if found.against == "trending"), None)
    if trending is None or not trending.reference:
        return f"NDCG@20 is {report.ndcg.mean():.3f} ({asked} in time)."
    change = trending.estimate / trending.reference
    lead = {
        "better": f"{abs(change):.0%} better than the trending list",
        "equal": "as good as the trending list, as far as can be told",
        "worse": f"{abs(change):.0%} worse than the trending list",
    }
    return f"{lead[trending.tone][0].upper()}{lead[trending.tone][1:]}, over {asked.replace(', ', ' and ')} in time."


def number(name: str, value: float | None) -> str:
    """One figure as it is written in a table."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}%" if name in PERCENT else f"{value:.3f}"


def _facts(
    manifest: Manifest, report: OfflineReport, comparisons: Sequence[Comparison]
) -> list[tuple[str, str, str]]:
    if not len(report.viewers):
        return []
    mean, trending = (_mean(manifest.evaluation.get(name, [])) for name in ("model", "trending"))
    said = {"better": "beyond chance", "equal": "within chance", "worse": "beyond chance"}
    found = [
        (
            "NDCG@20",
            number("ndcg@20", mean.get("ndcg@20")),
            f"trending {number('ndcg@20', trending.get('ndcg@20'))}",
        )
    ]
    for comparison in comparisons[:2]:
        if comparison.reference:
            change = f"{100 * comparison.estimate / comparison.reference:+.1f}%".replace("-", "−")
            found.append((f"against {comparison.against}", change, said[comparison.tone]))
    found.append(("hit rate@10", number("hit@10", mean.get("hit@10")), "at least one of ten"))
    found.append(("coverage", number("coverage@20", mean.get("coverage@20")), "of the catalogue"))
    return found


def _mean(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over splits, each viewer's list counting alike."""
    asked = sum(part["viewers"] for part in parts)
    if not asked:
        return {}
    return {
        name: sum(part[name] * part["viewers"] for part in parts) / asked
        for name, _, _ in FIGURES
        if all(name in part for part in parts)
    }


def _means(lists: Mapping[str, Sequence[Mapping[str, float]]]) -> list[tuple[str, str, dict[str, str]]]:
    """A row for each figure, with a column for each list."""
    means = {name: _mean(parts) for name, parts in lists.items()}
    return [
        (title, what, {name: number(key, means[name].get(key)) for name in lists})
        for key, title, what in FIGURES
    ]


def _splits(
    evaluation: Mapping[str, Any], lists: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[dict[str, Any]]:
    """A group for each split, with a row for each list."""
    return [
        {
            "at": date_time(at_ms),
            "viewers": count(lists["model"][place]["viewers"]),
            "rows": [
                (name, [number(key, parts[place].get(key)) for key, _, _ in FIGURES])
                for name, parts in lists.items()
                if place < len(parts)
            ],
        }
        for place, at_ms in enumerate(evaluation.get("splits_ms", []))
        if place < len(lists["model"])
    ]


def _sources(evaluation: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Recall of each candidate source alone; the union of all first, if it is told."""
    return shares_of(_numbers(evaluation.get("sources")))


def _features(evaluation: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """What the ranker's trees gained from each feature, as shares of all."""
    found = _numbers(evaluation.get("importance")) or _numbers(evaluation.get("features"))
    total = sum(found.values()) or 1.0
    return shares_of({name: value / total for name, value in found.items()})[:MOST_FEATURES]


def _numbers(found: Any) -> dict[str, float]:
    if not isinstance(found, Mapping):
        return {}
    return {str(name): float(value) for name, value in found.items() if isinstance(value, int | float)}


def _details(manifest: Manifest) -> list[tuple[str, str]]:
    weights = manifest.evaluation.get("blend", {}).get("sources", {})
    known = [
        ("recipe", manifest.notes.split("; ")[0].removeprefix("recipe ")),
        ("weights", ", ".join(f"{name} {value:g}" for name, value in weights.items())),
        ("as of", date_time(manifest.as_of_ms)),
        ("built", date_time(manifest.created_ms)),
        ("dimensions", ", ".join(f"{count(size)} {name}" for name, size in manifest.dimensions.items())),
        ("encoder", f"{manifest.encoder} {manifest.encoder_digest}".strip()),
        ("data digest", manifest.data_digest),
        ("question (data and splits)", str(manifest.evaluation.get("question", ""))),
        ("code revision", manifest.code_revision),
        ("files", f"{len(manifest.files)}, {sum(f.size for f in manifest.files.values()) / 2**20:.1f} MiB"),
    ]
    return [(name, value) for name, value in known if value]


def _style() -> str:
    """The look of the release pages, and what a report needs beyond it."""
    shared = files("load_balancer.control").joinpath("static/control.css").read_text("utf-8")
    return shared + files("training").joinpath("templates/report.css").read_text("utf-8")


def _template(name: str) -> Any:
    environment = Environment(
        loader=PackageLoader("training", "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
