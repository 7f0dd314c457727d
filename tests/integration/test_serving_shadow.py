"""A shadow over real processes: it is asked and compared, never shown, never an exposure, and never waited for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.traffic import Shadow, Upstream
from tests.fake_arm import requests_seen, set_mode
from tests.serving import Running, Stage, http_get, open_stage
from tests.support import wait_until
from understudy.client import Client


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path) as stage:
        yield stage


def shadow_of(candidate: Running, share: float = 1.0) -> Shadow:
    return Shadow(upstream=Upstream(version="v3", bundle_digest="sha256:v3", url=candidate.url), share=share)


def counted(balancer: Running) -> dict[str, float]:
    text = http_get(f"{balancer.url}/metrics").data.decode()
    found = re.findall(r'^understudy_shadow_total\{outcome="(\w+)"\} ([\d.]+)', text, re.MULTILINE)
    return {outcome: float(count) for outcome, count in found}


def follows(stage: Stage, balancer: Running, epoch: int) -> None:
    wait_until(lambda: http_get(f"{balancer.url}/version").json()["epoch"] == epoch, 20, f"plan {epoch}")


def test_every_viewer_is_served_by_main_whatever_the_shadow_does(stage: Stage) -> None:
    main, candidate = stage.arm("v1"), stage.arm("v3")
    stage.publish(main, shadow=shadow_of(candidate))
    balancer = stage.balancer()
    client = Client(balancer.url)
    asked = 0
    for mode in ("ok", "error500", "garbage", "close", "hang"):
        set_mode(candidate.url, mode)
        answers = [client.recommend(f"{mode}-{number}", count=5) for number in range(50)]
        asked += len(answers)
        assert {(answer.arm, answer.version) for answer in answers} == {("main", "v1")}
    wait_until(lambda: sum(counted(balancer).values()) == asked, 30, "every copy accounted for")
    assert counted(balancer)["ok"] > 0
    assert counted(balancer)["error"] > 0
    assert counted(balancer)["timeout"] > 0
    client.close()
    balancer.terminate()
    exposures = stage.exposures()
    assert len(exposures) == asked
    assert {(e.arm_assigned, e.arm_served, e.version, e.outcome) for e in exposures} == {
        ("main", "main", "v1", "ok")
    }


def test_a_new_plan_switches_it_off_and_an_address_that_is_none_is_no_reason_to_stop(stage: Stage) -> None:
    main, candidate = stage.arm("v1"), stage.arm("v3")
    stage.publish(main, shadow=shadow_of(candidate))
    balancer = stage.balancer()
    assert http_get(f"{balancer.url}/recommend/u1").status == 200
    wait_until(lambda: len(requests_seen(candidate.url)) == 1, 20, "the copy")
    nowhere = Shadow(upstream=Upstream(version="v3", bundle_digest="", url="nowhere"), share=1.0)
    for given in (None, nowhere):
        follows(stage, balancer, stage.publish(main, shadow=given).epoch)
        assert http_get(f"{balancer.url}/recommend/u2").status == 200
    wait_until(lambda: counted(balancer).get("left_out") == 1, 20, "the copy that nobody can take")
    assert len(requests_seen(candidate.url)) == 1
