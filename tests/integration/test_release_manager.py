"""The life of a release, with a runtime in memory and looks that follow a script."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.clock import ManualClock
from core.errors import NotFoundError, RefusedError
from core.traffic import TrafficPlan
from storage import releases as store
from storage.releases import ReleaseRow
from tests.release_support import (
    LOOK_MS,
    FakeRuntime,
    Script,
    Stage,
    look_result,
    make_manager,
    make_stage,
    publish_bundle,
)


def plan_of(stage: Stage) -> TrafficPlan:
    with stage.database.read() as connection:
        plan = store.current_plan(connection)
    assert plan is not None
    return plan


def kinds_of(stage: Stage, release_id: str) -> list[str]:
    with stage.database.read() as connection:
        return [event.kind for event in store.events_of(connection, release_id)]


def verdict_of(stage: Stage, row: ReleaseRow) -> str | None:
    with stage.database.read() as connection:
        verdict = store.verdict_of(connection, row.release_id)
    return verdict.verdict if verdict is not None else None


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """v1 is main; v2 and v3 wait in the store. Made once, copied for each test."""
    made = make_stage(tmp_path_factory.mktemp("installed"))
    made.publish("v1", "v2", "v3")
    made.manager.start("v1")
    made.database.close()
    return made


@pytest.fixture
def stage(installed: Stage, tmp_path: Path, script: Script) -> Stage:
    shutil.copytree(installed.platform.home, tmp_path, dirs_exist_ok=True)
    runtime, clock = installed.runtime.copy(), ManualClock(installed.clock.now_ms() + 1_000)
    return make_stage(tmp_path, script=script, runtime=runtime, clock=clock, tables=False)


def test_the_first_version_is_installed_as_main(stage: Stage) -> None:
    plan = plan_of(stage)
    assert (plan.epoch, plan.main.version, plan.canary, plan.share) == (1, "v1", None, 0.0)
    assert plan.fallback == ("v1-best",)
    assert stage.manager.history()[0]["state"] == "promoted"


def test_a_release_begins_with_the_first_share_and_a_salt_of_its_own(stage: Stage) -> None:
    row = stage.manager.start("v2")
    plan = plan_of(stage)
    assert row.state == "running"
    assert plan.canary is not None
    assert (plan.main.version, plan.canary.version, plan.share, plan.stage) == ("v1", "v2", 0.1, 1)
    assert plan.release_id == row.release_id
    assert plan.salt == row.salt != ""


def test_promotion_moves_everybody_and_then_stops_the_old(stage: Stage, script: Script) -> None:
    script.decisions = {2: "promote"}
    row = stage.manager.start("v2")
    stage.pass_looks(2)
    plan = plan_of(stage)
    assert (plan.main.version, plan.canary, plan.fallback) == ("v2", None, ("v2-best",))
    assert {one.version for one in stage.runtime.instances()} == {"v1", "v2"}, "v1 still drains"
    closed = stage.manager.settle()
    assert closed is not None
    assert (closed.release_id, closed.state) == (row.release_id, "promoted")
    assert [one.url for one in stage.runtime.instances()] == [plan.main.url]
    assert verdict_of(stage, row) == "promote"


def test_a_rollback_gives_everybody_main_before_the_canary_stops(stage: Stage, script: Script) -> None:
    script.decisions = {1: "roll_back"}
    row = stage.manager.start("v2")
    stage.clock.move(LOOK_MS)
    rolling = stage.manager.tick()
    assert rolling is not None
    assert rolling.state == "rolling_back"
    assert (plan_of(stage).main.version, plan_of(stage).canary) == ("v1", None)
    assert f"{row.release_id}-canary" in stage.runtime.running
    closed = stage.manager.settle()
    assert closed is not None
    assert closed.state == "rolled_back"
    assert [one.version for one in stage.runtime.instances()] == ["v1"]


@pytest.mark.parametrize("decision", ["inconclusive", "invalid"])
def test_what_is_not_decided_is_never_promoted(stage: Stage, script: Script, decision: str) -> None:
    script.decisions = {1: decision}  # type: ignore[dict-item]
    row = stage.manager.start("v2")
    stage.pass_looks()
    closed = stage.manager.settle()
    assert closed is not None
    assert (closed.state, plan_of(stage).main.version) == (decision, "v1")
    assert verdict_of(stage, row) == decision


def test_the_ramp_steps_once_and_keeps_the_salt(stage: Stage, script: Script) -> None:
    # The second look still knows only stage 1: the data of stage 2 are under way.
    script.decisions = {1: "step_ramp", 2: "step_ramp"}
    row = stage.manager.start("v2")
    stage.pass_looks(2)
    plan = plan_of(stage)
    assert (plan.share, plan.stage, plan.salt, plan.epoch) == (0.5, 2, row.salt, 3)


def test_a_paused_release_does_not_step_or_promote_but_rolls_back(stage: Stage, script: Script) -> None:
    script.decisions = {1: "step_ramp", 2: "promote", 4: "roll_back"}
    stage.manager.start("v2")
    stage.manager.pause("lunch")
    stage.pass_looks(3)
    assert plan_of(stage).stage == 1
    assert stage.manager.status()["release"]["state"] == "paused"
    stage.pass_looks()
    assert stage.manager.status()["release"]["state"] == "rolling_back"


def test_resume_goes_on(stage: Stage, script: Script) -> None:
    script.decisions = {2: "promote"}
    stage.manager.start("v2")
    stage.manager.pause("lunch")
    stage.pass_looks()
    stage.manager.resume("back")
    stage.pass_looks()
    assert plan_of(stage).main.version == "v2"


def test_blind_means_main_only_until_data_return(stage: Stage, script: Script) -> None:
    script.decisions = {
        1: lambda look, at_ms: look_result(look, at_ms, "hold", main_only=True),
        2: lambda look, at_ms: look_result(look, at_ms, "hold", main_only=True),
        3: "continue",
    }
    row = stage.manager.start("v2")
    stage.pass_looks()
    blind = plan_of(stage)
    assert (blind.canary, blind.release_id, blind.stage, blind.salt) == (None, row.release_id, 0, row.salt)
    stage.pass_looks()
    assert plan_of(stage).epoch == blind.epoch
    stage.pass_looks()
    back = plan_of(stage)
    assert back.canary is not None
    assert (back.canary.version, back.share, back.stage) == ("v2", 0.1, 1)


def test_abort_is_at_once_and_the_rest_follows(stage: Stage) -> None:
    stage.manager.start("v2")
    assert stage.manager.abort("looks odd").state == "aborting"
    assert plan_of(stage).canary is None
    closed = stage.manager.settle()
    assert closed is not None
    assert closed.state == "aborted"
    with pytest.raises(RefusedError, match="no release is open"):
        stage.manager.abort("again")


def test_the_control_plane_asks_for_an_abort_by_a_row(stage: Stage) -> None:
    row = stage.manager.start("v2")
    with stage.database.begin() as connection:
        store.append_event(connection, row.release_id, 1, "abort_asked", "from the page")
    stage.manager.tick()
    assert plan_of(stage).canary is None
    stage.manager.settle()
    assert "from the page" in stage.manager.explain()["reason"]


def test_promotion_without_evidence_needs_force_and_a_reason(stage: Stage) -> None:
    with pytest.raises(RefusedError, match="no release is open"):
        stage.manager.promote(force=True, reason="because")
    stage.manager.start("v2")
    for force, reason in ((False, "because"), (True, " ")):
        with pytest.raises(RefusedError, match="--force with --reason"):
            stage.manager.promote(force=force, reason=reason)
    stage.manager.promote(force=True, reason="because")
    stage.manager.settle()
    assert plan_of(stage).main.version == "v2"
    assert stage.manager.history()[0]["forced"] is True


def test_only_one_release_at_a_time_unless_it_is_replaced(stage: Stage) -> None:
    first = stage.manager.start("v2")
    with pytest.raises(RefusedError, match="is open"):
        stage.manager.start("v3")
    second = stage.manager.start("v3", replace=True)
    canary = plan_of(stage).canary
    assert canary is not None
    assert (canary.version, second.salt != first.salt) == ("v3", True)
    replaced = stage.manager.explain(first.release_id)
    assert (replaced["state"], replaced["reason"]) == ("aborted", "replaced by v3")


def test_the_offline_gate_refuses_and_can_be_overruled(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, gate=lambda candidate, main: [f"{candidate.version} is worse"])
    stage.publish("v1", "v2")
    stage.manager.start("v1")
    with pytest.raises(RefusedError, match="v2 is worse"):
        stage.manager.start("v2")
    assert stage.manager.history()[0]["state"] == "refused"
    stage.clock.move(1_000)
    assert plan_of(stage).epoch == 1
    with pytest.raises(RefusedError, match="--reason"):
        stage.manager.start("v2", force=True)
    row = stage.manager.start("v2", force=True, reason="a drill")
    assert (row.state, row.forced) == ("running", True)
    assert "forced" in kinds_of(stage, row.release_id)


def test_a_canary_that_fails_its_smoke_requests_meets_no_viewer(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, unfit=["v2"])
    stage.publish("v1", "v2")
    stage.manager.start("v1")
    with pytest.raises(RefusedError, match="v2 answers nonsense"):
        stage.manager.start("v2")
    assert plan_of(stage).canary is None
    assert [one.version for one in stage.runtime.instances()] == ["v1"]
    assert stage.manager.history()[0]["state"] == "rolled_back"


def test_a_new_main_that_does_not_start_is_tried_three_times(stage: Stage, script: Script) -> None:
    script.decisions = {1: "promote"}
    row = stage.manager.start("v2")
    stage.runtime.broken.add("v2")
    stage.pass_looks()
    assert plan_of(stage).main.version == "v1"
    closed = stage.manager.settle()
    assert closed is not None
    assert (closed.state, plan_of(stage).main.version, plan_of(stage).canary) == ("rolled_back", "v1", None)
    assert kinds_of(stage, row.release_id).count("start_failed") == 3


def test_rolling_back_makes_the_previous_version_main_and_twice_is_once(stage: Stage, script: Script) -> None:
    script.decisions = {1: "promote"}
    stage.manager.start("v2")
    stage.pass_looks()
    stage.manager.settle()
    first = stage.manager.rollback(reason="viewers complain")
    assert plan_of(stage).main.version == "v1"
    epoch = plan_of(stage).epoch
    again = stage.manager.rollback()
    assert (again.release_id, plan_of(stage).epoch) == (first.release_id, epoch)
    stage.manager.rollback(to="v3")
    assert plan_of(stage).main.version == "v3"


def test_going_back_to_a_version_that_is_gone_moves_no_traffic(stage: Stage) -> None:
    epoch = plan_of(stage).epoch
    with pytest.raises(NotFoundError, match="v0"):
        stage.manager.rollback(to="v0")
    with pytest.raises(RefusedError, match="no main before"):
        stage.manager.rollback()
    assert plan_of(stage).epoch == epoch


def test_rolling_back_while_a_release_is_open_ends_the_release(stage: Stage) -> None:
    stage.manager.start("v2")
    stage.manager.rollback(reason="enough")
    closed = stage.manager.settle()
    assert closed is not None
    assert (closed.state, plan_of(stage).main.version) == ("rolled_back", "v1")


def test_a_late_tick_replays_the_missed_looks_in_order(stage: Stage, script: Script) -> None:
    script.decisions = {2: "step_ramp", 5: "promote", 6: "roll_back"}
    row = stage.manager.start("v2")
    stage.clock.move(3 * 24 * 60 * 60 * 1000)
    stage.manager.tick()
    assert script.taken == [1, 2, 3, 4, 5]
    assert verdict_of(stage, row) == "promote"
    with stage.database.read() as connection:
        looks = store.evaluations_of(connection, row.release_id)
        ramped = [plan.stage for plan in store.plans_of(connection, row.release_id)]
    assert [look.look for look in looks] == [1, 2, 3, 4, 5]
    assert [look.at_ms - looks[0].at_ms for look in looks] == [LOOK_MS * n for n in range(5)]
    assert ramped == [1], "a share that was right days ago is not opened now"


def test_no_look_before_its_data_are_complete_unless_they_stay_away(tmp_path: Path) -> None:
    complete: list[bool] = []
    script = Script()
    stage = make_stage(tmp_path, script=script, complete=lambda _: bool(complete))
    stage.publish("v1", "v2")
    stage.manager.start("v1")
    stage.manager.start("v2")
    stage.pass_looks()
    assert script.taken == []
    complete.append(True)
    stage.manager.tick()
    assert script.taken == [1]
    complete.clear()
    stage.clock.move(LOOK_MS + 60_000)
    stage.manager.tick()
    assert script.taken == [1, 2], "stale for the plan's stale_after_ms: the look says so itself"


def test_two_ticks_at_once_give_one_verdict(stage: Stage, script: Script) -> None:
    """The second manager's tick runs in the middle of the first one's look."""
    other = make_manager(
        stage.platform, stage.database, stage.clock, stage.runtime, script=Script({1: "promote"})
    )

    def meanwhile(look: int, at_ms: int):  # type: ignore[no-untyped-def]
        other.tick()
        return look_result(look, at_ms, "roll_back")

    script.decisions = {1: meanwhile}
    row = stage.manager.start("v2")
    stage.pass_looks()
    stage.manager.settle()
    assert verdict_of(stage, row) == "promote"
    assert plan_of(stage).main.version == "v2"
    assert kinds_of(stage, row.release_id).count("verdict") == 1


def test_dead_instances_of_the_plan_are_started_again(stage: Stage) -> None:
    row = stage.manager.start("v2")
    for name in (f"{row.release_id}-canary", next(iter(stage.runtime.running))):
        stage.runtime.kill(name)
    stage.manager.tick()
    assert all(one.alive for one in stage.runtime.instances())
    assert plan_of(stage).epoch == 2, "they came back where they were"


def test_an_instance_that_comes_back_elsewhere_changes_the_plan(stage: Stage) -> None:
    stage.runtime.running.clear()
    stage.manager.tick()
    assert plan_of(stage).main.url == stage.runtime.instances()[0].url
    assert (plan_of(stage).epoch, plan_of(stage).main.version) == (2, "v1")


def test_instances_that_nobody_needs_are_stopped(stage: Stage) -> None:
    stage.runtime.start("v3", "sha256:0", "left-over")
    stage.manager.tick()
    assert [one.version for one in stage.runtime.instances()] == ["v1"]


def test_unknown_version_names_the_nearest(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="v2"):
        stage.manager.start("v22")


def test_asking_a_person(stage: Stage, script: Script, tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.release_support import PLAN

    script.decisions = {1: "inconclusive"}
    stage.manager.start("v2", plan=replace(PLAN, on_inconclusive="ask"))
    stage.pass_looks(3)
    assert stage.manager.status()["release"]["state"] == "asking"
    assert plan_of(stage).canary is None
    stage.manager.promote(force=True, reason="I have looked at it")
    stage.manager.settle()
    assert plan_of(stage).main.version == "v2"


def test_the_clock_an_hour_back_gives_no_early_verdict(stage: Stage, script: Script) -> None:
    script.decisions = {1: "promote"}
    stage.manager.start("v2")
    stage.clock.move(-60 * 60 * 1000)
    stage.manager.tick()
    assert script.taken == []


def test_explain_says_it_in_sentences(stage: Stage, script: Script) -> None:
    script.decisions = {
        1: lambda look, at_ms: look_result(
            look, at_ms, "promote", requests=1000, theta=0.05, log_promote=3.2, why="Good enough."
        )
    }
    stage.manager.start("v2")
    stage.pass_looks()
    stage.manager.settle()
    told = " ".join(stage.manager.explain()["sentences"])
    assert "v2 has earned its place and is main." in told
    assert "Good enough." in told
    assert "5.1% more" in told


def test_stop_all_and_the_next_tick_starts_main_again(stage: Stage) -> None:
    stage.manager.stop_all()
    assert stage.runtime.instances() == []
    stage.manager.tick()
    assert [one.version for one in stage.runtime.instances()] == ["v1"]


def test_damaged_bundles_are_refused_before_anything_starts(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, clock=ManualClock(), runtime=FakeRuntime())
    bundle = publish_bundle(stage.platform.bundles, "v1")
    (bundle.path / "content.txt").write_text("xx")
    with pytest.raises(Exception, match=r"content\.txt"):
        stage.manager.start("v1")
    assert stage.runtime.started == []
