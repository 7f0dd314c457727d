"""The report says what the evaluation says, alone in one file, whatever a bundle is called or lacks."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from core.errors import InvalidBundleError
from storage.offline import OfflineReport
from tests.report_support import manifest_of, offline_report, publish_evaluation
from training.report import Verdict, badge, number, page
from training.report_plots import BAR_PAPERS, PAPERS, Comparison, gain_plot, gains, interval_plot, shares_of
from understudy.commands.models import report as command
from understudy.reports import report_page

AHEAD = Comparison("trending", 0.02, 0.01, 0.03, 0.2, 300, refused_below=-0.006)
BEHIND = Comparison("v1", -0.02, -0.03, -0.01, 0.24, 300, refused_below=-0.0072)
NOBODY = OfflineReport("v1", "", np.empty(0, np.uint64), *[np.empty(0, np.float32)] * 3)


class Tags(HTMLParser):
    """Every element of a page with its attributes, and whether each is closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def words(text: str) -> str:
    """What is to be read, in one line."""
    body = text.split("</style>")[1]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    more = {
        "sources": {"als": 0.4, "trending": 0.5, "union": 0.8},
        "importance": {"als rank": 30.0, "age": 10.0},
    }
    publish_evaluation(
        folder, offline_report("v2", 0.05), "recipe ranked; no genres; one <odd> thing", **more
    )
    publish_evaluation(folder, offline_report("v1", 0.01))
    publish_evaluation(folder, offline_report("bad", -0.08))
    publish_evaluation(folder, offline_report("elsewhere", 0.01, question="other"))
    publish_evaluation(folder, NOBODY.__class__("empty", "", NOBODY.viewers, *[NOBODY.ndcg] * 3))
    return folder


def test_the_page_stands_alone_and_every_element_is_closed(store: Path) -> None:
    tags = Tags(report_page(store / "v2", store / "v1"))
    assert tags.open == []
    assert not [tag for tag, _ in tags.seen if tag in {"script", "img", "iframe", "object"}]
    links = [value for _, found in tags.seen for name, value in found.items() if name in {"src", "href"}]
    assert all(str(link).startswith(("#", "data:")) for link in links)
    ids = [found["id"] for _, found in tags.seen if "id" in found]
    assert len(ids) == len(set(ids))
    named = {found["aria-labelledby"] for _, found in tags.seen if "aria-labelledby" in found}
    assert named <= set(ids)


def test_a_better_bundle_passes_in_words_and_figures(store: Path) -> None:
    said = words(report_page(store / "v2", store / "v1"))
    assert "v2 Passes the gate" in said
    assert "better than the trending list, over 300 viewers and 2 splits in time." in said
    assert "Against main: NDCG@20 +" in said
    assert "all together 80.0%" in said
    assert "als rank 75.0%" in said
    for figure in ("NDCG@20", "recall@20", "hit rate@10", "coverage", "cold videos", "Gini"):
        assert figure in said
    assert "chosen for each split on folds before it: 3 d, 0.5 d." in said


def test_a_worse_one_is_refused_with_the_gates_reasons(store: Path) -> None:
    said = words(report_page(store / "bad", store / "v1"))
    assert "bad Refused by the gate" in said
    assert "Worse than main (v1) beyond 3%" in said
    assert "Worse than the trending list" in said


def test_warnings_are_shown_and_nothing_of_a_bundle_becomes_markup(store: Path) -> None:
    text = report_page(store / "v2")
    assert "no genres" in words(text)
    assert "one &lt;odd&gt; thing" in text
    assert "<odd>" not in text


def test_without_another_bundle_it_is_compared_with_trending_alone(store: Path) -> None:
    said = words(report_page(store / "v2"))
    assert "Holds against trending" in said
    assert "No other bundle was given" in said
    assert "Warnings of the training" not in words(report_page(store / "v1"))


def test_other_data_is_said_to_be_other_data(store: Path) -> None:
    said = words(report_page(store / "v2", store / "elsewhere"))
    assert "elsewhere was evaluated on other data" in said


def test_a_bundle_that_nobody_was_asked_of_says_so(store: Path) -> None:
    said = words(report_page(store / "empty"))
    assert "Cannot be told" in said
    assert "nothing can be told" in said
    assert "How much better" not in said


def test_the_same_bundles_make_the_same_page(store: Path) -> None:
    assert report_page(store / "v2", store / "v1") == report_page(store / "v2", store / "v1")


def test_the_command_writes_the_page(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = CliRunner().invoke(command, [str(store / "v2"), "--against", str(store / "v1"), "--out", str(out)])
    assert done.exit_code == 0
    assert "page.html" in done.output
    assert out.read_text().startswith("<!doctype html>")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundleError):
        report_page(tmp_path)


def test_a_thin_manifest_still_makes_a_page() -> None:
    report = offline_report("v1", 0.0)
    thin = manifest_of(report).__class__(
        version="v1", created_ms=0, as_of_ms=0, data_digest="", code_revision="", encoder="", encoder_digest="",
        dimensions={},
    )  # fmt: skip
    assert "–" in words(page(thin, report, Verdict(True, "", (), ("fine",)), [AHEAD]))


def test_an_interval_lies_in_order_on_every_paper() -> None:
    for paper in PAPERS:
        plot = interval_plot([AHEAD, BEHIND], paper)
        assert plot is not None
        for whisker in plot.whiskers:
            assert paper.left <= whisker.low < whisker.at < whisker.high <= paper.width - paper.right
        assert [whisker.tone for whisker in plot.whiskers] == ["better", "worse"]
        assert plot.whiskers[0].low > plot.zero > plot.whiskers[1].high
        assert plot.whiskers[0].words == "+0.020 (+10%)"
    assert interval_plot([], PAPERS[0]) is None


def test_gains_are_shares_of_all_viewers() -> None:
    ours, theirs = np.array([0.3, 0.2, 0.2, 0.9], np.float32), np.array([0.2, 0.2, 0.3, 0.1], np.float32)
    found = gains(ours, theirs)
    assert (found.better, found.equal, found.worse) == (0.5, 0.25, 0.25)
    plot = gain_plot(ours, theirs, BAR_PAPERS[0])
    assert plot is not None
    drawn = [bar for bar in plot.bars if bar.height > 0]
    assert [bar.tone for bar in drawn] == ["worse", "better", "better"]
    assert len({bar.height for bar in drawn}) == 1
    assert gain_plot(theirs, theirs, BAR_PAPERS[0]) is None


def test_bars_are_drawn_against_the_largest() -> None:
    assert shares_of({"a": 1.0, "b": 4.0}) == [("b", 4.0, 100.0), ("a", 1.0, 25.0)]
    assert shares_of({}) == []


def test_verdicts_and_numbers_in_words() -> None:
    assert badge(Verdict(False, "v1", ("few",), ())).tone == "warn"
    assert badge(Verdict(False, "", ("worse",), ("figure",))).text == "Worse than trending"
    assert (number("ndcg@20", 0.1234), number("cold_share", 0.1234), number("gini", None)) == (
        "0.123",
        "12.3%",
        "–",
    )
