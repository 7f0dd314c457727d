"""Keeps running what the traffic plan names, and nothing else."""

from __future__ import annotations

import logging
import time

from core.errors import DependencyError
from core.traffic import TrafficPlan, Upstream
from deploy.ledger import Ledger
from deploy.runtime import Runtime

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
CALM_AFTER_S = 600.0  # so long without a death: the next one is the first again


class Supervisor:
    """Restarts the dead with growing pauses between attempts. Not thread-safe."""

    def __init__(self, runtime: Runtime, ledger: Ledger) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._pauses: dict[str, tuple[float, float]] = {}  # URL -> (next pause, not before)

    def supervise(self, plan: TrafficPlan) -> None:
        """Restart each dead instance of the plan; one that comes back under another URL changes the plan."""
        for upstream in plan.upstreams:
            self._keep_alive(upstream, plan.epoch)

    def stop_unplanned(self, names: set[str], plan: TrafficPlan | None) -> None:
        """Stop every instance of `names` that the plan does not name."""
        kept = {upstream.url for upstream in plan.upstreams} if plan is not None else set()
        for instance in self._runtime.instances():
            if instance.name in names and instance.url not in kept:
                self._runtime.stop(instance.name)

    def _keep_alive(self, upstream: Upstream, epoch: int) -> None:
        instance = next((one for one in self._runtime.instances() if one.url == upstream.url), None)
        if instance is not None and instance.alive:
            return
        if not self._may_try(upstream.url):
            return
        name = instance.name if instance is not None else f"{upstream.version}-epoch-{epoch}"
        logger.warning("instance %s of %s is dead and is started again", name, upstream.version)
        try:
            again = self._runtime.start(upstream.version, upstream.bundle_digest, name)
        except DependencyError as error:
            logger.error("instance %s does not start: %s", name, error)  # noqa: TRY400 - said in one line
            return
        if again.url != upstream.url:
            moved = Upstream(version=upstream.version, bundle_digest=upstream.bundle_digest, url=again.url)
            self._ledger.move(upstream, moved)

    def _may_try(self, url: str) -> bool:
        now = time.monotonic()
        pause_s, not_before = self._pauses.get(url, (FIRST_PAUSE_S, now))
        if now < not_before:
            return False
        if now > not_before + CALM_AFTER_S:
            pause_s = FIRST_PAUSE_S
        self._pauses[url] = (min(2 * pause_s, LONGEST_PAUSE_S), now + pause_s)
        return True
