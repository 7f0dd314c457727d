"""Shadow mode on and off: the candidate runs while the plan names it, and releases go on beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.errors import InvalidInputError, NotFoundError, RefusedError
from core.traffic import TrafficPlan
from deploy.amending import force
from deploy.runtime import Instance
from deploy.shadow import ShadowSwitch
from deploy.smoke import SmokeError
from storage.releases import current_plan
from tests.release_support import FakeRuntime, Stage, make_stage


def smoke(instance: Instance) -> int:
    if instance.version == "mute":
        raise SmokeError("it answers nothing")
    return 5


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = make_stage(tmp_path, runtime=FakeRuntime(broken=["broken"]))
    stage.publish("v1", "v2", "v3", "mute", "broken")
    return stage


def switch(stage: Stage) -> ShadowSwitch:
    return ShadowSwitch(stage.database, stage.runtime, stage.clock, stage.platform.bundles, smoke, 2.0)


def plan_of(stage: Stage) -> TrafficPlan:
    with stage.database.read() as connection:
        plan = current_plan(connection)
    assert plan is not None
    return plan


def running(stage: Stage) -> set[str]:
    return {instance.version for instance in stage.runtime.instances() if instance.alive}


def test_on_starts_it_and_off_stops_it_and_nothing_else_changes(stage: Stage) -> None:
    stage.manager.start("v1")
    before = plan_of(stage)
    plan = switch(stage).on("v2", 0.25)
    assert plan.shadow is not None
    assert (plan.shadow.upstream.version, plan.shadow.share) == ("v2", 0.25)
    assert (plan.main, plan.canary, plan.share, plan.epoch) == (before.main, None, 0.0, before.epoch + 1)
    assert stage.manager.status()["shadow"]["share"] == 0.25
    assert running(stage) == {"v1", "v2"}
    stage.manager.tick()  # which stops what no plan names
    assert running(stage) == {"v1", "v2"}
    assert switch(stage).off().shadow is None
    assert running(stage) == {"v1"}
    assert switch(stage).off().epoch == plan.epoch + 1  # a second time changes nothing


def test_the_scheduler_leaves_alone_what_is_still_starting(stage: Stage) -> None:
    def smoke_beside_the_scheduler(instance: Instance) -> int:
        stage.manager.tick()
        return smoke(instance)

    stage.manager.start("v1")
    dataclasses.replace(switch(stage), smoke=smoke_beside_the_scheduler).on("v2", 0.25)
    assert running(stage) == {"v1", "v2"}


def test_the_scheduler_stops_what_a_killed_command_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.manager.start("v1")
    stage.runtime.start("v2", "sha256:2", "v2-shadow")
    stage.manager.tick()
    assert running(stage) == {"v1", "v2"}
    monkeypatch.setattr("deploy.supervisor.SHADOW_STARTING_S", 0.0)
    stage.manager.tick()
    assert running(stage) == {"v1"}


def test_another_candidate_takes_its_place(stage: Stage) -> None:
    stage.manager.start("v1")
    switch(stage).on("v2", 0.25)
    switch(stage).on("v3", 0.5)
    assert running(stage) == {"v1", "v3"}
    switch(stage).on("v3", 0.1)
    assert running(stage) == {"v1", "v3"}
    assert plan_of(stage).shadow.share == 0.1


def test_it_stays_through_a_release_and_its_end(stage: Stage) -> None:
    stage.manager.start("v1")
    switch(stage).on("v3", 0.25)
    stage.manager.start("v2")
    assert (plan_of(stage).canary.version, plan_of(stage).shadow.upstream.version) == ("v2", "v3")
    stage.manager.abort("enough")
    stage.clock.move(60_000)
    stage.manager.tick()
    assert (plan_of(stage).canary, plan_of(stage).shadow.upstream.version) == (None, "v3")
    assert running(stage) == {"v1", "v3"}
    stage.manager.start("v2")
    stage.manager.promote(force=True, reason="test")
    stage.manager.settle()
    assert (plan_of(stage).main.version, plan_of(stage).shadow.upstream.version) == ("v2", "v3")


def test_a_candidate_that_dies_is_started_again(stage: Stage) -> None:
    stage.manager.start("v1")
    switch(stage).on("v2", 0.25)
    stage.runtime.kill("v2-shadow")
    stage.manager.tick()
    assert running(stage) == {"v1", "v2"}


@pytest.mark.parametrize("version", ["mute", "broken"])
def test_a_candidate_that_does_not_start_changes_nothing(stage: Stage, version: str) -> None:
    stage.manager.start("v1")
    before = plan_of(stage)
    with pytest.raises(RefusedError, match=f"{version} did not start"):
        switch(stage).on(version, 0.25)
    assert plan_of(stage) == before
    assert running(stage) == {"v1"}


def test_what_is_refused(stage: Stage) -> None:
    with pytest.raises(RefusedError, match="no main yet"):
        switch(stage).on("v2", 0.25)
    with pytest.raises(RefusedError, match="no main yet"):
        switch(stage).off()
    stage.manager.start("v1")
    with pytest.raises(NotFoundError):
        switch(stage).on("v9", 0.25)
    for share in (0.0, 1.5, -1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="share"):
            switch(stage).on("v2", share)
    assert running(stage) == {"v1"}


def test_a_tester_is_forced_and_let_go_beside_a_release(stage: Stage) -> None:
    with pytest.raises(RefusedError, match="no main yet"):
        force(stage.database, stage.clock, "tester", "canary")
    stage.manager.start("v1")
    stage.manager.start("v2")
    forced = force(stage.database, stage.clock, "tester", "canary")
    assert (forced.overrides, forced.canary.version) == ({"tester": "canary"}, "v2")
    assert stage.manager.status()["testers"] == {"tester": "canary"}
    with pytest.raises(InvalidInputError, match="user_id"):
        force(stage.database, stage.clock, "no viewer", "canary")
    assert force(stage.database, stage.clock, "tester", None).overrides == {}
    stage.pass_looks()  # the release goes on from the plan as it now is
    assert plan_of(stage).canary.version == "v2"
