"""Assignment: which arm a viewer is given. A pure function of (traffic plan, user id), the same everywhere."""

from __future__ import annotations

from hashlib import sha256

from core.traffic import Arm, TrafficPlan

BUCKETS = 2**32


def bucket(salt: str, user_id: str) -> int:
    """First four bytes of SHA-256(`{salt}:{user_id}`) as an unsigned big-endian integer.

    Four, because HAProxy, which has to compute the same, cannot count beyond 2^63.
    """
    return int.from_bytes(sha256(f"{salt}:{user_id}".encode()).digest()[:4], "big")


def canary_buckets(share: float) -> int:
    """How many of the 2^32 buckets, from the lowest on, are the canary's: it only grows with the share."""
    return round(share * BUCKETS)


def assign(plan: TrafficPlan, user_id: str) -> Arm:
    """The viewer's arm: a tester's override if there is one, else by bucket; main where nobody plays canary."""
    if plan.canary is None:
        return "main"
    forced = plan.overrides.get(user_id)
    if forced is not None:
        return forced
    return "canary" if bucket(plan.salt, user_id) < canary_buckets(plan.share) else "main"
