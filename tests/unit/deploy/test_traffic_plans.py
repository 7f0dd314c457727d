"""The traffic plans of a release."""

from __future__ import annotations

import pytest

from core.errors import RefusedError
from core.traffic import Shadow, TrafficPlan, Upstream
from deploy import plans

V1 = Upstream(version="v1", bundle_digest="sha256:1", url="http://127.0.0.1:1")
V2 = Upstream(version="v2", bundle_digest="sha256:2", url="http://127.0.0.1:2")
FIRST = plans.with_main(None, V1, fallback=("a", "b"), now_ms=5, reason="v1 is main")


def play(current: TrafficPlan, share: float, canary: Upstream = V2) -> TrafficPlan:
    return plans.with_canary(
        current, canary, share=share, salt="s", stage=1, release_id="r", now_ms=6, reason="stage 1"
    )


def test_epochs_count_on() -> None:
    second = play(FIRST, 0.1)
    third = plans.main_only(second, now_ms=7, reason="enough")
    assert [plan.epoch for plan in (FIRST, second, third)] == [1, 2, 3]
    assert (third.main, third.canary, third.share, third.salt, third.release_id) == (V1, None, 0, "", None)
    assert third.fallback == ("a", "b")


def test_the_share_only_grows_within_a_release() -> None:
    with pytest.raises(RefusedError, match="only grow"):
        play(play(FIRST, 0.5), 0.1)


def test_main_and_canary_are_two_instances() -> None:
    with pytest.raises(RefusedError, match="both"):
        play(FIRST, 0.1, canary=V1)


def test_alone_for_now_keeps_the_groups() -> None:
    alone = plans.alone_for_now(play(FIRST, 0.1), now_ms=7, reason="blind")
    assert (alone.canary, alone.share, alone.stage, alone.salt, alone.release_id) == (None, 0, 0, "s", "r")
    assert play(alone, 0.1).share == 0.1


def test_a_moved_instance_changes_its_url_alone() -> None:
    elsewhere = Upstream(version="v2", bundle_digest="sha256:2", url="http://127.0.0.1:9")
    after = plans.moved(play(FIRST, 0.1), V2, elsewhere, now_ms=8)
    assert (after.main, after.canary, after.share, after.epoch) == (V1, elsewhere, 0.1, 3)


def test_testers_and_shadow_outlast_a_release() -> None:
    shadow = Shadow(upstream=V2, share=0.1)
    tried = plans.with_tester(FIRST, "tester", "canary", now_ms=6)
    tried = plans.with_shadow(tried, shadow, now_ms=6, reason="try v2")
    over = plans.main_only(play(tried, 0.1), now_ms=7, reason="over")
    new = plans.with_main(over, V2, fallback=(), now_ms=8, reason="v2 is main")
    for plan in (tried, over, new):
        assert (plan.overrides, plan.shadow) == ({"tester": "canary"}, shadow)
    assert new.epoch == 6


def test_a_tester_is_forced_anew_or_let_go() -> None:
    one = plans.with_tester(FIRST, "a", "canary", now_ms=6)
    two = plans.with_tester(plans.with_tester(one, "b", "main", now_ms=7), "a", "main", now_ms=8)
    assert two.overrides == {"a": "main", "b": "main"}
    assert plans.with_tester(two, "a", None, now_ms=9).overrides == {"b": "main"}
    assert FIRST.overrides == {}


def test_a_moved_shadow_keeps_its_share() -> None:
    elsewhere = Upstream(version="v2", bundle_digest="sha256:2", url="http://127.0.0.1:9")
    shadowed = plans.with_shadow(FIRST, Shadow(upstream=V2, share=0.1), now_ms=6, reason="try v2")
    assert shadowed.upstreams == (V1, V2)
    assert plans.moved(shadowed, V2, elsewhere, now_ms=7).shadow == Shadow(upstream=elsewhere, share=0.1)
    assert plans.moved(shadowed, V1, elsewhere, now_ms=7).shadow == shadowed.shadow
