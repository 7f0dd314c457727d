"""An exported release gives its decisions again, byte for byte, whatever came late; a changed row is found."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import InvalidInputError, RefusedError
from deploy.archive import lines_of, read, write
from deploy.evaluator import Evaluator
from deploy.replay import first_difference, replay
from deploy.rows import DatabaseRows
from storage.database import open_database
from storage.exposure_columns import PORTION
from storage.exposures import exposures_of_release
from tests.release_support import LOOK_MS, PLAN, Stage, make_stage
from tests.release_viewers import Viewers
from understudy.cli import main


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., tuple[Stage, str]]:
    """A release with a story, by the real evaluator: late exposures, a reader that stays away, a restart."""

    def tell(*, eventful: bool, database_url: str = "") -> tuple[Stage, str]:
        complete = [True]
        rows = DatabaseRows(open_database(database_url or f"sqlite:///{tmp_path}/understudy.db"))
        stage = make_stage(
            tmp_path, script=Evaluator(rows), complete=lambda _: complete[0], database_url=database_url
        )
        stage.publish("v1", "v2")
        stage.manager.start("v1")
        release = stage.manager.start("v2", plan=replace(PLAN, stale_after_ms=20_000))
        viewers = Viewers(stage.database, release.release_id)
        now_ms = stage.clock.now_ms
        for look in range(24):
            before_ms = now_ms()
            stage.clock.move(LOOK_MS)
            viewers.play(now_ms(), before_ms, watched_by_canary=look < 6)
            if eventful:
                complete[0] = look not in range(8, 14)
                if look == 3:
                    viewers.play(before_ms - 9_000, before_ms - 10_000)  # far too late for its look
                if look == 5:
                    stage.script.forget()  # as a restart does
                if look == 11:  # what the reader stores while it is behind
                    viewers.play(before_ms - 19_000, before_ms - 20_000)
            stage.manager.tick()
        return stage, release.release_id

    return tell


def export(stage: Stage, release_id: str, path: Path) -> Path:
    write(path, lines_of(stage.database, release_id))
    return path


@pytest.mark.parametrize("eventful", [False, True])
def test_a_replay_is_the_same_to_the_byte(
    told: Callable[..., tuple[Stage, str]], tmp_path: Path, eventful: bool
) -> None:
    stage, release_id = told(eventful=eventful)
    lines = list(read(export(stage, release_id, tmp_path / "r.ndjson.gz")))
    known = [line["known"] for line in lines if line["kind"] == "look"]
    assert {one["complete"] for one in known} == ({True, False} if eventful else {True})
    found = replay(lines)
    assert found.difference == ""
    assert found.looks == len(known) > 8
    assert found.verdict == "roll_back"
    counted = {line["kind"] for line in lines}
    assert counted == {
        "release", "traffic_plan", "event", "look", "verdict", "exposure", "interaction",
    }  # fmt: skip


def test_an_export_from_postgresql_in_many_portions_holds_every_row_and_replays(
    told: Callable[..., tuple[Stage, str]], tmp_path: Path, postgresql_database: str
) -> None:
    stage, release_id = told(eventful=True, database_url=postgresql_database)
    lines = list(read(export(stage, release_id, tmp_path / "r.ndjson")))
    exposures = {line["request_id"]: line["items"] for line in lines if line["kind"] == "exposure"}
    last_row = max(line["known"]["exposure_row"] for line in lines if line["kind"] == "look")
    with stage.database.read() as connection:
        stored = exposures_of_release(connection, release_id)
    assert len(exposures) > 2 * PORTION
    assert exposures == {
        one.exposure.request_id: list(one.exposure.items) for one in stored if one.row <= last_row
    }
    assert replay(lines).difference == ""


def test_a_changed_row_is_found_and_named(told: Callable[..., tuple[Stage, str]], tmp_path: Path) -> None:
    stage, release_id = told(eventful=False)
    lines = list(read(export(stage, release_id, tmp_path / "r.ndjson")))
    look = next(line for line in lines if line["kind"] == "look" and line["look"] == 5)
    look["result"]["canary"]["successes"] += 1
    assert replay(lines).difference.startswith("look 5: canary.successes was ")
    look["result"]["canary"]["successes"] -= 1
    next(line for line in lines if line["kind"] == "verdict")["verdict"] = "promote"
    assert replay(lines).difference.startswith("verdict: promote was recorded")
    exposures = [line for line in lines if line["kind"] == "exposure"]
    exposures[7]["outcome"] = "error"
    assert replay(lines).difference.startswith("look 1: ")


def test_the_command_line_exports_and_replays(
    told: Callable[..., tuple[Stage, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, release_id = told(eventful=False)
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    path = tmp_path / "out.ndjson"

    def understudy(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["understudy", "release", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert understudy("export", release_id, "--out", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["lines"] > 1_000
    assert understudy("replay", str(path)) == 0
    assert "to the byte" in capsys.readouterr().out
    path.write_text(path.read_text().replace('"arm_served":"main"', '"arm_served":"canary"', 1))
    assert understudy("replay", str(path), "--json") == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["difference"].startswith("look ")
    assert "not the same: look " in said.err


def test_what_cannot_be_replayed_is_refused(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    stage.publish("v1")
    installed = stage.manager.start("v1")
    with pytest.raises(RefusedError, match="no look"):
        export(stage, installed.release_id, tmp_path / "x")
    assert not list(tmp_path.glob("x*"))
    for text, said in (
        ("", "one release"),
        ("{}\n", "line 1"),
        ('{"kind":"exposure"}\n', "row"),
        ("[", "line 1"),
    ):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(InvalidInputError, match=said):
            replay(read(tmp_path / "bad"))
    with pytest.raises(InvalidInputError, match="absent"):
        replay(read(tmp_path / "absent"))


def test_the_first_difference_is_named_by_its_path() -> None:
    assert first_difference({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 3.0}]}) == "a[1].b was 2.0, is 3.0 now"
    assert first_difference({"a": 1}, {"a": 1}) == ""
    assert first_difference({"a": 1}, {"a": 1, "c": None}) == ""
