"""Watermark, evaluator, fallback list, scheduler and settings of releases."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.clock import ManualClock
from core.errors import InvalidSettingError, RefusedError
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS, Interaction
from core.exposures import Exposure
from core.settings import PlatformSettings
from deploy.evaluation import evaluate
from deploy.evaluator import LOOKS_AT_ONCE, Evaluator
from deploy.fallback import trending_of
from deploy.rows import DatabaseRows
from deploy.schedule import run_schedule
from deploy.settings import DeploySettings
from deploy.watermark import Watermark
from deploy.wiring import build_manager
from storage.database import Database, open_database
from storage.event_log import Message, TopicPartition
from storage.event_log_sqlite import SqliteEventLog
from storage.exposures import LoggedExposure, store_exposures
from storage.interactions import LoggedInteraction, store_interactions
from storage.progress import ProgressDelta, advance_progress
from tests.release_support import LOOK_MS, PLAN, make_tables

START_MS = 1_700_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Database:
    make_tables(tmp_path / "understudy.db")
    return open_database(PlatformSettings(home=tmp_path).sql_url)


def test_data_are_complete_once_the_reader_has_passed_the_end_of_the_log(
    database: Database, tmp_path: Path
) -> None:
    clock = ManualClock(START_MS)
    log = SqliteEventLog(tmp_path / "events.db", clock)
    watermark = Watermark(database, log, clock, wait_s=0)
    assert watermark.reached(START_MS), "nothing was ever sent"
    log.append(TOPIC_INTERACTIONS, [Message("u", b"{}"), Message("u", b"{}")])
    clock.move(1_000)
    assert not watermark.reached(START_MS + 1_000)
    log.append(TOPIC_INTERACTIONS, [Message("u", b"{}")])  # what comes later does not matter
    with database.begin() as connection:
        where = TopicPartition(TOPIC_INTERACTIONS, 0)
        advance_progress(connection, {where: ProgressDelta({0: "stored", 1: "dead"})})
    assert watermark.reached(START_MS + 1_000)
    clock.move(1_000)
    assert not watermark.reached(START_MS + 2_000)
    log.close()


def fill(database: Database, until_ms: int, since_ms: int = START_MS) -> None:
    """One request every 20 ms by 50 viewers, a tenth of them canary; a third of them succeed."""
    exposures, interactions = [], []
    for number in range((since_ms - START_MS) // 20, (until_ms - START_MS) // 20):
        viewer, at_ms = number * 7 % 50, START_MS + number * 20
        arm = "canary" if viewer < 5 else "main"
        exposure = Exposure(
            request_id=f"q{number}",
            user_id=f"u{viewer}",
            served_ms=at_ms,
            arm_assigned=arm,
            arm_served=arm,
            version="v",
            bundle_digest="d",
            release_id="r",
            stage=1,
            epoch=1,
            items=("a", "b"),
            latency_ms=3.0,
        )
        exposures.append(LoggedExposure(TOPIC_EXPOSURES, 0, number, 0, exposure))
        if number % 3 == 0:
            watched = Interaction(
                event_id=f"e{number}",
                user_id=f"u{viewer}",
                video_id="a",
                event_type="complete",
                details={},
                occurred_ms=at_ms,
                received_ms=at_ms + 1_500,
                request_id=f"q{number}",
            )
            interactions.append(LoggedInteraction(TOPIC_INTERACTIONS, 0, number, watched))
    with database.begin() as connection:
        store_exposures(connection, exposures)
        store_interactions(connection, interactions)


def test_looks_one_by_one_are_the_same_as_all_at_once(database: Database) -> None:
    plan = replace(PLAN, cuped=False)
    points = [START_MS + LOOK_MS * n for n in range(1, 7)]
    going_on, one_by_one = Evaluator(DatabaseRows(database)), []
    for before_ms, at_ms in zip([START_MS, *points], points, strict=False):
        fill(database, at_ms, before_ms)
        one_by_one.append(going_on.look("r", plan, START_MS, at_ms, at_ms))
    late = Evaluator(DatabaseRows(database))
    at_once = [late.look("r", plan, START_MS, at_ms, points[-1]) for at_ms in points]
    anew = Evaluator(DatabaseRows(database)).look("r", plan, START_MS, points[-1], points[-1])
    assert [r.to_json() for r in at_once] == [r.to_json() for r in one_by_one]
    assert anew.to_json() == at_once[-1].to_json()
    assert anew.look == 6
    assert anew.canary.requests > 0
    assert abs(anew.main.successes / anew.main.requests - 1 / 3) < 0.05


def test_a_look_from_scratch_reaches_as_far_as_it_must(database: Database) -> None:
    fill(database, START_MS + 3 * LOOK_MS)
    at_ms = START_MS + (LOOKS_AT_ONCE + 20) * LOOK_MS
    anew = Evaluator(DatabaseRows(database)).look(
        "r", replace(PLAN, cuped=False), START_MS, at_ms, at_ms + 50 * LOOK_MS
    )
    assert anew.look == LOOKS_AT_ONCE + 20


def test_what_viewers_did_before_the_release_is_known(database: Database) -> None:
    fill(database, START_MS + 60_000)
    started_ms = START_MS + 40_000
    before = DatabaseRows(database).history(PLAN, started_ms)
    assert len(before) == 50
    assert sum(requests for requests, _ in before.values()) == pytest.approx(30_000 / 20, abs=2)


def test_the_kernel_is_asked_in_order_only(database: Database) -> None:
    fill(database, START_MS + 4 * LOOK_MS)
    evaluator = Evaluator(DatabaseRows(database))
    third = evaluator.look("r", PLAN, START_MS, START_MS + 3 * LOOK_MS, START_MS + 4 * LOOK_MS)
    first = evaluator.look("r", PLAN, START_MS, START_MS + LOOK_MS, START_MS + LOOK_MS)
    assert (third.look, first.look) == (3, 1)
    assert evaluate(PLAN, []).verdict is None


def test_the_fallback_is_what_trends_at_a_half_life_of_about_ten_days(tmp_path: Path) -> None:
    (tmp_path / "videos.json").write_text(json.dumps({"video_id": ["a", "b", "c"]}))
    scores = np.array([[9, 1, 1], [1, 3, 2], [9, 1, 1]], np.float32)
    np.savez(tmp_path / "trending.npz", half_lives_days=np.array([3.0, 14.0, 60.0]), scores=scores)
    assert trending_of(tmp_path, 2) == ("b", "c")


class Ticks:
    """A manager whose first tick fails."""

    def __init__(self) -> None:
        self.ticked = 0
        self.asked = 0
        self.stop = threading.Event()

    def tick(self) -> None:
        self.ticked += 1
        if self.ticked == 1:
            raise RefusedError("somebody was first")
        if self.ticked == 2:
            raise ValueError("a bug")
        self.stop.set()

    def obey_asks(self) -> None:
        self.asked += 1


def test_the_scheduler_survives_a_tick_that_fails() -> None:
    manager = Ticks()
    run_schedule(manager, 0.001, manager.stop)  # type: ignore[arg-type]
    assert manager.ticked == 3
    assert manager.asked > 0


def test_a_plan_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    make_tables(tmp_path / "understudy.db")
    settings = DeploySettings(plan_file=tmp_path / "plan.json")
    with pytest.raises(InvalidSettingError, match=r"UNDERSTUDY_DEPLOY_PLAN_FILE.*plan\.json"):
        build_manager(PlatformSettings(home=tmp_path), settings, ManualClock())
    (tmp_path / "plan.json").write_text('{"window_ms": 10000, "marign": 0.1}')
    with pytest.raises(InvalidSettingError, match="margin"):
        build_manager(PlatformSettings(home=tmp_path), settings, ManualClock())
