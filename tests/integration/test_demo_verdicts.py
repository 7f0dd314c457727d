"""The demo's verdicts over many seeds of its traffic, played in process (see tests/rehearsal.py).

Twice the same bundle runs into the plan's longest duration, so its twenty full runs are among the long tests.
"""

import dataclasses
from collections import Counter

import pytest

from core.clock import SECOND
from deploy.evaluation import ReleasePlan
from inference.recommender import Recommender, load_bundle
from tests.demo_home import DemoRun
from tests.rehearsal import Rehearsal
from training.readers import read_folder
from understudy.demo.audience import Audience
from understudy.demo.steps import FIRST_SHARE, audience_of, demo_plan
from understudy.loading import split_each_viewer

SEEDS = 20


@pytest.fixture(scope="module")
def audience(demo: DemoRun) -> Audience:
    history, held_out = split_each_viewer(read_folder(demo.home / "data" / "ml-100k"), FIRST_SHARE)
    return audience_of(history, held_out)


@pytest.fixture(scope="module")
def models(demo: DemoRun) -> dict[str, Recommender]:
    return {
        version: Recommender(load_bundle(demo.home / "bundles" / version)) for version in ("v1", "v2", "v3")
    }


def verdicts(
    main: Recommender, canary: Recommender, audience: Audience, plan: ReleasePlan, seeds: int
) -> Counter[str]:
    now_ms = main.model.as_of_ms + SECOND
    played = [Rehearsal(main, canary, audience, plan, seed, now_ms).verdict() for seed in range(seeds)]
    return Counter(result.decision for result in played)


def test_the_better_version_is_promoted(models: dict[str, Recommender], audience: Audience) -> None:
    assert verdicts(models["v1"], models["v2"], audience, demo_plan(), SEEDS)["promote"] >= 19


def test_with_the_bundles_swapped_the_verdict_swaps(
    models: dict[str, Recommender], audience: Audience
) -> None:
    assert verdicts(models["v2"], models["v1"], audience, demo_plan(), SEEDS)["roll_back"] >= 19


def test_the_broken_version_is_never_promoted(models: dict[str, Recommender], audience: Audience) -> None:
    assert verdicts(models["v2"], models["v3"], audience, demo_plan(), SEEDS) == {"roll_back": SEEDS}


def test_twice_the_same_bundle_is_not_rolled_back_early(
    models: dict[str, Recommender], audience: Audience
) -> None:
    plan = dataclasses.replace(demo_plan(), max_duration_ms=60 * SECOND)
    assert verdicts(models["v2"], models["v2"], audience, plan, 5)["roll_back"] == 0


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_twice_the_same_bundle_is_rolled_back_at_most_once(
    models: dict[str, Recommender], audience: Audience
) -> None:
    assert verdicts(models["v2"], models["v2"], audience, demo_plan(), SEEDS)["roll_back"] <= 1
