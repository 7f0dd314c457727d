"""The traffic plan: which version plays main, which plays canary, and for what share of the audience.

A plan is a value. Each change is a new plan with the next epoch; the one with the highest epoch is in force.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Arm = Literal["main", "canary"]


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """One running version: where it listens (`http://host:port`, no path) and what exactly it serves."""

    version: str
    bundle_digest: str
    url: str


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that is asked a copy of `share` (0 to 1) of the requests; no viewer ever sees its answers."""

    upstream: Upstream
    share: float


class TrafficPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What every load balancer does from `created_ms` on, until a plan with a higher epoch is read.

    `share` (0 to 1) of the audience is assigned to the canary, by `salt` and user id alone. `stage` counts
    the shares of one release's ramp from 1; it is 0 outside a release. `fallback` is the static trending
    list that is shown when no arm answers. `overrides` forces testers to an arm; their exposures are marked.
    """

    epoch: int
    created_ms: int
    main: Upstream
    canary: Upstream | None = None
    share: float = 0.0
    salt: str = ""
    stage: int = 0
    release_id: str | None = None
    fallback: tuple[str, ...] = ()
    overrides: dict[str, Arm] = {}  # msgspec copies an empty default for each instance
    reason: str = ""
    shadow: Shadow | None = None

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Everything that has to run while this plan is in force."""
        shadow = self.shadow.upstream if self.shadow is not None else None
        return tuple(one for one in (self.main, self.canary, shadow) if one is not None)
