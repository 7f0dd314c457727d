"""The benchmark's own check and score, counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.quality_check import Check, make_check, mean_and_error, read_check, score, trending
from tests.benchmarks.quality_page import BEGIN, END, replaced, tables


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Thirty films; `often` rated five early ones and rates 6, 7 and one unknown so far; `rare` rated two."""
    source = tmp_path / "source"
    source.mkdir()
    films = "".join(f"{n},Film {n} (1990),Drama|Crime\n" for n in range(1, 41))
    (source / "movies.csv").write_text(f"movieId,title,genres\n{films}")
    crowd = [f"{100 + n},{n},4,{1000 + n}" for n in range(1, 31)]
    often = [f"1,{n},5,{1100 + n}" for n in range(1, 6)]
    rare = ["2,1,3,1200", "2,2,3,1201"]
    later = ["1,6,5,5000", "1,7,5,5001", "1,40,5,5002", "2,9,5,5003"]
    rows = "\n".join([*crowd, *often, *rare, *later])
    (source / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n{rows}\n")
    make_check(source, tmp_path / "check", 0.9)
    return read_check(tmp_path / "check")


def test_the_cut_is_in_time_and_asks_only_what_can_be_known(check: Check, tmp_path: Path) -> None:
    assert check.truth == {"1": {"6", "7"}}
    assert len(check.train) == 36
    assert len(check.rated) == 30
    assert (tmp_path / "check/users.txt").read_text() == "1\n"
    assert "Film 40" not in (tmp_path / "check/items.csv").read_text()
    assert json.loads((tmp_path / "check/truth.json").read_text()) == {"1": ["6", "7"]}


def test_a_score_by_hand(check: Check) -> None:
    shown = ["6", *[str(n) for n in range(8, 27)]]
    found = score(check, {"1": shown})
    assert found.recall.tolist() == [0.5]
    assert found.hit.tolist() == [1.0]
    assert found.ndcg[0] == pytest.approx(1 / (1 + 1 / np.log2(3)))
    assert found.coverage == pytest.approx(20 / 30)
    assert found.cold == 1.0
    assert found.faults == {}


def test_faulty_lists_are_counted(check: Check) -> None:
    assert score(check, {"1": ["6", "6", "1", "99"]}).faults == {
        "repeated": 1,
        "short": 1,
        "unknown": 1,
        "watched": 1,
    }
    assert score(check, {}).ndcg.tolist() == [0.0]


def test_trending_leaves_out_what_was_watched(check: Check) -> None:
    popular, recent = trending(check, None)["1"], trending(check, 0.0001)["1"]
    assert len(popular) == len(recent) == 20
    assert not {"1", "2", "3", "4", "5"} & {*popular, *recent}
    assert recent[:3] == ["30", "29", "28"]


def test_a_mean_has_its_error() -> None:
    assert mean_and_error(np.array([0.0, 1.0])) == (0.5, pytest.approx(0.5))


def test_the_page_is_replaced_between_its_marks_and_says_what_is_not_reached() -> None:
    figures = {
        "ndcg@20": (0.18, 0.004),
        "recall@20": (0.2, 0.01),
        "hit@10": (0.4, 0.01),
        "coverage@20": 0.3,
        "cold_share": 0.05,
    }
    cost = {"wall_s": 60.0, "cpu_s": 90.0, "memory_mb": 1024.0}
    row = {
        "data": "movietweetings-early", "split": 0.9, "interactions": 100, "videos": 10, "viewers": 5,
        "half_life_days": 1, "understudy": figures, "trending": figures, "popularity": figures,
        "served": figures | {"coverage@20": 0.4}, "served_over_ours": (-0.009, 0.001),
        "over_trending": (0.02, 0.003), "over_popularity": (0.05, 0.003), "faults": {"short": 2},
        "train": cost, "recommend": cost, "model_ms": (1.0, 2.0),
    }  # fmt: skip
    text = tables([row])
    assert "**not reached**" in text
    assert "ml-100k | not measured" in text
    assert "'short': 2" in text
    assert "+.020 ± .003 (+11%)" in text
    assert "| .180 ± .004 | −.009 ± .001 (−5%) | 40.0% | 5.0% |" in text
    page = replaced(f"before\n{BEGIN}\nstale\n{END}\nafter\n", text)
    assert "stale" not in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
