"""Keeps running what the traffic plan names, and nothing else."""

from __future__ import annotations

import logging
import time
from typing import Final

from core.errors import DependencyError
from core.traffic import TrafficPlan, Upstream
from deploy.ledger import Ledger
from deploy.runtime import Instance, Runtime

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
CALM_AFTER_S = 600.0  # so long without a death: the next one is the first again
SHADOW_SUFFIX: Final = "-shadow"
# A shadow is started by a command and named by a plan once it is ready; after this, the command was killed.
SHADOW_STARTING_S = 300.0


class Supervisor:
    """Restarts the dead with growing pauses between attempts. Not thread-safe."""

    def __init__(self, runtime: Runtime, ledger: Ledger) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._pauses: dict[str, tuple[float, float]] = {}  # URL -> (next pause, not before)
        self._starting: dict[tuple[str, int | None], float] = {}  # shadows without a plan: since when

    def supervise(self, plan: TrafficPlan) -> None:
        """Restart each dead instance of the plan; one that comes back under another URL changes the plan."""
        for upstream in plan.upstreams:
            self._keep_alive(upstream, plan.epoch)

    def stop_unplanned(self, names: set[str], plan: TrafficPlan | None) -> None:
        """Stop every instance of `names` that the plan does not name, but a shadow that has just been started."""
        kept = {upstream.url for upstream in plan.upstreams} if plan is not None else set()
        unplanned = [one for one in self._runtime.instances() if one.name in names and one.url not in kept]
        starting = self._still_starting([one for one in unplanned if one.name.endswith(SHADOW_SUFFIX)])
        for instance in unplanned:
            if instance not in starting:
                self._runtime.stop(instance.name)

    def _still_starting(self, shadows: list[Instance]) -> list[Instance]:
        now = time.monotonic()
        ids = [(one.name, one.pid) for one in shadows]
        self._starting = {key: self._starting.get(key, now) for key in ids}
        return [one for one in shadows if now - self._starting[one.name, one.pid] < SHADOW_STARTING_S]

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
