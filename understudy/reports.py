"""A bundle's report: gate, intervals and page put together."""

from __future__ import annotations

from pathlib import Path

from deploy.gate import MARGIN, Difference, compare, gate, paired
from storage.bundles import open_bundle
from storage.offline import read_report
from training.report import Verdict, page
from training.report_plots import Comparison


def report_page(bundle: Path, against: Path | None = None) -> str:
    """The page of one bundle's offline evaluation, with the gate's verdict against another.

    Raises:
        InvalidBundleError: one of them is damaged, or has no offline evaluation.
    """
    manifest, report = open_bundle(bundle), read_report(bundle)
    main_manifest = None if against is None else open_bundle(against)
    main = None if against is None else read_report(against)
    result = gate(report, main)
    found = []
    if len(report.viewers):
        if main is not None:
            found.append(_comparison(main.version, compare(report, main), gated=True))
        found.append(_comparison("trending", paired(report.ndcg, report.trending), gated=False))
        found.append(_comparison("popularity", paired(report.ndcg, report.popularity), gated=False))
    verdict = Verdict(result.passed, "" if main is None else main.version, result.reasons, result.figures)
    same = main is not None and main.question == report.question
    return page(
        manifest, report, verdict, found, main_manifest.evaluation if main_manifest and same else None
    )


def _comparison(against: str, found: Difference, *, gated: bool) -> Comparison:
    return Comparison(
        against,
        found.estimate,
        found.low,
        found.high,
        found.reference,
        found.viewers,
        found.paired,
        -MARGIN * found.reference if gated else None,
    )
