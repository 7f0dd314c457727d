"""The traffic plans of a release, as values: each is made from the one in force and has the next epoch."""

from __future__ import annotations

import msgspec

from core.errors import RefusedError
from core.traffic import Arm, Shadow, TrafficPlan, Upstream


def with_canary(
    current: TrafficPlan,
    canary: Upstream,
    *,
    share: float,
    salt: str,
    stage: int,
    release_id: str,
    now_ms: int,
    reason: str,
) -> TrafficPlan:
    """The canary plays for `share` of the audience.

    Raises:
        RefusedError: within one release and salt the share would shrink, or the canary is main itself.
    """
    if current.release_id == release_id and share < current.share:
        raise RefusedError(f"the share may only grow during a release: {current.share:g} to {share:g}")
    if canary.url == current.main.url:
        raise RefusedError(f"main and canary would both be {canary.url}")
    return msgspec.structs.replace(
        current,
        epoch=current.epoch + 1,
        created_ms=now_ms,
        canary=canary,
        share=share,
        salt=salt,
        stage=stage,
        release_id=release_id,
        reason=reason,
    )


def alone_for_now(current: TrafficPlan, *, now_ms: int, reason: str) -> TrafficPlan:
    """Everybody gets main while the release goes on: its salt stays, and its exposures count in no stage."""
    return msgspec.structs.replace(
        current,
        epoch=current.epoch + 1,
        created_ms=now_ms,
        canary=None,
        share=0.0,
        stage=0,
        reason=reason,
    )


def main_only(current: TrafficPlan, *, now_ms: int, reason: str) -> TrafficPlan:
    """Everybody gets main, and no release is going on."""
    return TrafficPlan(
        epoch=current.epoch + 1,
        created_ms=now_ms,
        main=current.main,
        fallback=current.fallback,
        reason=reason,
        overrides=current.overrides,
        shadow=current.shadow,
    )


def with_main(
    current: TrafficPlan | None, main: Upstream, *, fallback: tuple[str, ...], now_ms: int, reason: str
) -> TrafficPlan:
    """Everybody gets a new main; without a plan in force this is the first."""
    epoch = current.epoch + 1 if current is not None else 1
    plan = TrafficPlan(epoch=epoch, created_ms=now_ms, main=main, fallback=fallback, reason=reason)
    if current is None:
        return plan
    return msgspec.structs.replace(plan, overrides=current.overrides, shadow=current.shadow)


def with_shadow(current: TrafficPlan, shadow: Shadow | None, *, now_ms: int, reason: str) -> TrafficPlan:
    """The same plan, with or without a candidate that is asked copies; viewers notice nothing."""
    return msgspec.structs.replace(
        current, epoch=current.epoch + 1, created_ms=now_ms, shadow=shadow, reason=reason
    )


def with_tester(current: TrafficPlan, user_id: str, arm: Arm | None, *, now_ms: int) -> TrafficPlan:
    """The same plan with one viewer forced to an arm, or (None) no longer forced."""
    others = {user: to for user, to in current.overrides.items() if user != user_id}
    return msgspec.structs.replace(
        current,
        epoch=current.epoch + 1,
        created_ms=now_ms,
        overrides=others if arm is None else {**others, user_id: arm},
        reason=f"tester {user_id} is given {arm or 'the arm of any viewer'}",
    )


def moved(current: TrafficPlan, before: Upstream, after: Upstream, *, now_ms: int) -> TrafficPlan:
    """The same plan after an instance came back under another URL."""
    return msgspec.structs.replace(
        current,
        epoch=current.epoch + 1,
        created_ms=now_ms,
        main=after if current.main == before else current.main,
        canary=after if current.canary == before else current.canary,
        shadow=_moved_shadow(current.shadow, before, after),
        reason=f"{before.version} moved from {before.url} to {after.url}",
    )


def _moved_shadow(shadow: Shadow | None, before: Upstream, after: Upstream) -> Shadow | None:
    if shadow is None or shadow.upstream != before:
        return shadow
    return Shadow(upstream=after, share=shadow.share)
