"""The evaluation from files: CSV and NDJSON give the same trail, and what is wrong is named."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.clock import HOUR, MINUTE, format_ms
from core.errors import InvalidInputError
from deploy.files import read_exposures, read_history, read_interactions
from understudy.cli import main

START_MS = 1_700_000_000_000
PLAN = {"look_every_ms": 30 * MINUTE, "ramp": [{"share": 0.5}], "note": "one stage"}


def rows(canary: float = 0.1, main: float = 0.2) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """8,000 requests of 2,000 viewers in six hours, watched at these rates."""
    random = np.random.default_rng(2)
    exposures, interactions = [], []
    for number, (viewer, after_ms) in enumerate(
        zip(
            random.integers(0, 2_000, 8_000).tolist(),
            np.sort(random.integers(0, 6 * HOUR, 8_000)).tolist(),
            strict=True,
        )
    ):
        arm = "canary" if viewer % 2 else "main"
        served = START_MS + after_ms
        exposures.append(
            {
                "request_id": f"q{number}",
                "user_id": f"u{viewer}",
                "served": served,
                "arm": arm,
                "stage": 1,
                "items": "a b c",
            }
        )
        if random.random() < (canary if arm == "canary" else main):
            interactions.append(
                {"user_id": f"u{viewer}", "video_id": "b", "event_type": "progress", "watch_percentage": 80.0,
                 "received": format_ms(served + 2 * MINUTE), "event_id": f"e{number}"}
            )  # fmt: skip
    return exposures, interactions


def as_csv(path: Path, table: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


def as_ndjson(path: Path, table: list[dict[str, Any]]) -> Path:
    lines = [{**row, "items": row["items"].split()} if "items" in row else row for row in table]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def evaluate(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["understudy", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_csv_and_ndjson_give_the_same_trail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exposures, interactions = rows()
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    said = []
    for write in (as_csv, as_ndjson):
        files = [
            "--plan", tmp_path / "plan.json",
            "--exposures", write(tmp_path / "e", exposures),
            "--interactions", write(tmp_path / "i", [*interactions, interactions[0]]),
        ]  # fmt: skip
        assert evaluate(monkeypatch, *files, "--json") == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    trail = json.loads(said[0])
    assert trail["verdict"] == "roll_back"
    last = trail["looks"][-1]
    assert last["canary"]["successes"] / last["canary"]["requests"] == pytest.approx(0.1, abs=0.04)
    assert evaluate(monkeypatch, *files) == 0
    assert "roll_back" in capsys.readouterr().out.splitlines()[0]


def test_every_column_is_read(tmp_path: Path) -> None:
    exposure = {
        "request_id": "q", "user_id": "u", "served": "2026-01-01T00:00:00Z", "arm": "canary", "stage": 2, "items": "a b",
        "arm_served": "main", "outcome": "timeout", "latency_ms": 12.5, "forced": "true",
    }  # fmt: skip
    read = read_exposures(as_csv(tmp_path / "e.csv", [exposure]))
    assert (read.arm_served, read.outcome, read.latency_ms, read.forced) == (
        ["main"],
        ["timeout"],
        [12.5],
        [True],
    )
    assert (read.items, read.stage, read.arm_assigned) == ([("a", "b")], [2], ["canary"])
    before = as_csv(tmp_path / "b.csv", [{"user_id": "u", "requests": 5, "successes": 2}])
    assert read_history(before) == {"u": (5, 2)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arm": "nightly"}, "line 2: arm 'nightly': must be one of main, canary"),
        ({"served": "2026-01-01 00:00"}, "line 2: served"),
        ({"stage": ""}, "line 2: no stage"),
        ({"stage": "-1"}, "line 2: stage '-1'"),
        ({"outcome": "fine"}, "line 2: outcome"),
        ({"stage": "9" * 30}, "line 2: stage '9+': must be a whole number from 0 to"),
        ({"served": "9" * 15}, "line 2: served '9+': is after the year 9998"),
        ({"served": "1764030000"}, "line 2: served .1764030000.: is a time in seconds"),
        ({"latency_ms": "nan"}, "line 2: latency_ms 'nan': must be a finite number"),
        ({"latency_ms": "-1"}, "line 2: latency_ms '-1'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, str], said: str) -> None:
    exposure = {
        "request_id": "q",
        "user_id": "u",
        "served": 5,
        "arm": "main",
        "stage": 1,
        "items": "a",
        "outcome": "ok",
    }
    with pytest.raises(InvalidInputError, match=said):
        read_exposures(as_csv(tmp_path / "e.csv", [exposure | change]))


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInputError, match=r"line 2: no stage; there are request_id, user_id, served, arm$"
    ):
        read_exposures(
            as_csv(tmp_path / "e.csv", [{"request_id": "q", "user_id": "u", "served": 5, "arm": "main"}])
        )


def test_a_file_that_ends_may_still_promote_but_silence_until_a_time_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The evidence suffices only when the last requests have matured, long after the last was served."""
    exposures, interactions = rows(canary=0.5, main=0.25)
    plan = PLAN | {"min_duration_ms": 7 * HOUR}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    files = [
        "--plan", tmp_path / "plan.json", "--json",
        "--exposures", as_csv(tmp_path / "e", exposures),
        "--interactions", as_csv(tmp_path / "i", interactions),
    ]  # fmt: skip
    assert evaluate(monkeypatch, *files) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "promote"
    assert evaluate(monkeypatch, *files, "--until", "9000-01-01T00:00:00Z") == 0
    silent = json.loads(capsys.readouterr().out)
    assert (silent["verdict"], silent["looks"][-1]["decision"]) == (None, "hold")
    assert evaluate(monkeypatch, *files, "--started", "2030-01-01T00:00:00Z") == 2
    assert "before --started" in capsys.readouterr().err


def test_an_answer_that_showed_nothing_can_be_said_in_both_formats(tmp_path: Path) -> None:
    failed = {"request_id": "q", "user_id": "u", "served": START_MS, "arm": "main", "stage": 1, "items": ""}
    for write in (as_csv, as_ndjson):
        assert read_exposures(write(tmp_path / "e", [failed])).items == [()]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('main,1,"a b\nq2,u,5,main,1,a b\n', "cannot read .*unexpected end of data"),
        ("main,1,a,b,c\n", "line 2: more cells than the header has names"),
    ],
    ids=["a quote that is never closed", "ids with commas between them"],
)
def test_a_table_that_would_be_read_amiss_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "e").write_text(f"request_id,user_id,served,arm,stage,items\nq1,u,5,{lines}")
    with pytest.raises(InvalidInputError, match=said):
        read_exposures(tmp_path / "e")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"items": 5}, "items '5': must be a text"),
        ({"items": {"a": 1}}, "items .*: must be a text"),
        ({"latency_ms": 10**400}, "latency_ms '1000.*: int too large"),
    ],
)
def test_a_value_of_another_type_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    exposure = {"request_id": "q", "user_id": "u", "served": 5, "arm": "main", "stage": 1, "items": ["a"]}
    (tmp_path / "e").write_text(json.dumps(exposure | change))
    with pytest.raises(InvalidInputError, match=f"line 1: {said}"):
        read_exposures(tmp_path / "e")


def test_no_file_and_no_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").write_text("request_id,user_id\n")
    with pytest.raises(InvalidInputError, match="absent"):
        read_interactions(tmp_path / "absent")
    (tmp_path / "array").write_text("[{}]\n")
    with pytest.raises(InvalidInputError, match="objects, one a line"):
        read_interactions(tmp_path / "array")
    (tmp_path / "broken").write_text("{\n")
    with pytest.raises(InvalidInputError, match="line 1"):
        read_interactions(tmp_path / "broken")
    assert evaluate(monkeypatch, "--exposures", tmp_path / "empty", "--interactions", tmp_path / "empty") == 2
    assert "holds no exposure" in capsys.readouterr().err
