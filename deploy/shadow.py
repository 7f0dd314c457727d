"""Shadow mode, switched on and off: a candidate runs and is asked copies of requests, and no viewer sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.clock import Clock
from core.errors import DependencyError, InvalidInputError, RefusedError
from core.traffic import Shadow, TrafficPlan, Upstream
from deploy import plans
from deploy.amending import amend, plan_in_force
from deploy.runtime import Runtime
from deploy.smoke import SmokeError
from deploy.supervisor import SHADOW_SUFFIX
from deploy.worker import Smoke
from storage.bundles import find, open_bundle
from storage.database import Database


@dataclass(frozen=True, slots=True)
class ShadowSwitch:
    """`drain_s` is how long the load balancers may go on asking a candidate that the plan leaves out."""

    database: Database
    runtime: Runtime
    clock: Clock
    bundles: Path
    smoke: Smoke
    drain_s: float

    def on(self, version: str, share: float) -> TrafficPlan:
        """Start `version` beside whatever plays, and let it be asked a copy of `share` of the requests.

        Raises:
            InvalidInputError: the share is not above 0 and at most 1; there is no such version, or it is damaged.
            RefusedError: there is no main yet, or the candidate does not start.
        """
        if not 0 < share <= 1:
            raise InvalidInputError(f"share {share:g} is not above 0 and at most 1")
        before = plan_in_force(self.database).shadow
        bundle = find(self.bundles, version)
        open_bundle(bundle.path, bundle.digest)
        upstream = self._start(version, bundle.digest)
        reason = f"{version} is asked copies of {share:.1%} of the requests"
        plan = self._change(Shadow(upstream=upstream, share=share), reason)
        self._stop(before, plan)
        return plan

    def off(self) -> TrafficPlan:
        """No more copies; the candidate is stopped. Nothing changes where there is none.

        Raises:
            RefusedError: there is no main yet.
        """
        plan = plan_in_force(self.database)
        before = plan.shadow
        if before is None:
            return plan
        plan = self._change(None, f"{before.upstream.version} is asked no more copies")
        self._stop(before, plan)
        return plan

    def _start(self, version: str, digest: str) -> Upstream:
        name = f"{version}{SHADOW_SUFFIX}"
        try:
            instance = self.runtime.start(version, digest, name)
            self.smoke(instance)
        except (DependencyError, SmokeError) as error:
            self.runtime.stop(name)
            raise RefusedError(f"{version} did not start: {error}") from None
        return Upstream(version=version, bundle_digest=digest, url=instance.url)

    def _change(self, shadow: Shadow | None, reason: str) -> TrafficPlan:
        def change(plan: TrafficPlan) -> TrafficPlan:
            return plans.with_shadow(plan, shadow, now_ms=self.clock.now_ms(), reason=reason)

        return amend(self.database, change)

    def _stop(self, before: Shadow | None, plan: TrafficPlan) -> None:
        if before is None or before.upstream in plan.upstreams:
            return
        self.clock.sleep(self.drain_s)
        for instance in self.runtime.instances():
            if instance.url == before.upstream.url:
                self.runtime.stop(instance.name)
