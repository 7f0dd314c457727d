"""Who plays before whom: a pure function, the same everywhere, and nobody flips back while the share grows."""

from hypothesis import given
from hypothesis import strategies as st

from core.traffic import TrafficPlan, Upstream
from load_balancer.assignment import BUCKETS, assign, bucket, canary_buckets

MAIN = Upstream(version="v1", bundle_digest="sha256:1", url="http://127.0.0.1:1")
CANARY = Upstream(version="v2", bundle_digest="sha256:2", url="http://127.0.0.1:2")
user_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@~-]{0,63}", fullmatch=True)
shares = st.floats(0, 1)


def plan(share: float, salt: str = "salt", **given: object) -> TrafficPlan:
    return TrafficPlan(epoch=1, created_ms=0, main=MAIN, canary=CANARY, share=share, salt=salt, **given)  # type: ignore[arg-type]


def test_bucket_is_the_first_four_bytes_of_sha256() -> None:
    # Computed with coreutils: printf 'release-1:42' | sha256sum | cut -c1-8
    known = {"1": 0x720233A8, "42": 0x470E2F73, "viewer@example.org": 0x1727A79A}
    assert {user: bucket("release-1", user) for user in known} == known


@given(user_ids, shares, shares)
def test_no_viewer_flips_back_while_the_share_grows(user_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if assign(plan(low), user_id) == "canary":
        assert assign(plan(high), user_id) == "canary"


@given(user_ids)
def test_a_share_of_nothing_is_nobody_and_of_all_is_everybody(user_id: str) -> None:
    assert assign(plan(0.0), user_id) == "main"
    assert assign(plan(1.0), user_id) == "canary"


@given(shares)
def test_a_share_is_that_part_of_the_buckets(share: float) -> None:
    assert abs(canary_buckets(share) / BUCKETS - share) <= 1 / BUCKETS


def test_a_share_is_kept_over_many_viewers() -> None:
    in_canary = sum(assign(plan(0.1), f"user-{i}") == "canary" for i in range(20_000))
    assert abs(in_canary / 20_000 - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5


def test_groups_of_two_releases_are_independent() -> None:
    users = [f"user-{i}" for i in range(20_000)]
    both = sum(assign(plan(0.5, "one"), u) == assign(plan(0.5, "two"), u) for u in users)
    assert abs(both / len(users) - 0.5) < 4 * (0.25 / len(users)) ** 0.5


@given(user_ids)
def test_testers_are_forced(user_id: str) -> None:
    assert assign(plan(1.0, overrides={user_id: "main"}), user_id) == "main"
    assert assign(plan(0.0, overrides={user_id: "canary"}), user_id) == "canary"


def test_without_a_canary_everybody_gets_main() -> None:
    alone = TrafficPlan(epoch=1, created_ms=0, main=MAIN, share=1.0, overrides={"tester": "canary"})
    assert {assign(alone, user) for user in ("tester", "somebody")} == {"main"}
