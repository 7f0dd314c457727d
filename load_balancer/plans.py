"""The traffic plan in force: read from SQL by a thread, kept while SQL is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from core.errors import DependencyError, InvalidInputError
from core.repeated import Repeated
from core.traffic import TrafficPlan
from load_balancer.arms import check_plan

logger = logging.getLogger(__name__)


class PlanPoller:
    """`current` is replaced whole, so readers in any thread see one plan or the next, never a mixture."""

    def __init__(self, read: Callable[[], TrafficPlan | None], poll_s: float) -> None:
        self._read = read
        self._read_at: float | None = None
        self._trouble = ""
        self._polling = Repeated("traffic plan", self.poll, poll_s)
        self.current: TrafficPlan | None = None

    def start(self, wait_s: float = 0.0) -> None:
        """Begin to look; return after the first look, or `wait_s`: a worker has a plan before it has viewers."""
        self._polling.start(wait_s)

    def stop(self) -> None:
        self._polling.stop()

    @property
    def age_s(self) -> float:
        """Seconds since the last successful look; NaN before the first."""
        return float("nan") if self._read_at is None else time.monotonic() - self._read_at

    def problem(self) -> str | None:
        """Why there is nothing to serve by, for /readyz; an old plan is no problem, it is followed."""
        if self.current is not None:
            return None
        return self._trouble or "no traffic plan has been published yet: start a release first"

    def poll(self) -> None:
        """Look once. A plan with a higher epoch comes into force; anything else leaves the one we have."""
        try:
            plan = self._read()
            if plan is not None and (self.current is None or plan.epoch > self.current.epoch):
                check_plan(plan)
                self._follow(plan)
        except (DependencyError, InvalidInputError) as error:
            self._note(str(error))
            return
        self._note("")
        self._read_at = time.monotonic()

    def _follow(self, plan: TrafficPlan) -> None:
        canary = f"{plan.canary.version} for {plan.share:.1%}" if plan.canary else "none"
        logger.info("traffic plan %d: main %s, canary %s", plan.epoch, plan.main.version, canary)
        self.current = plan

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            logger.warning("traffic plan cannot be read, the last one stays: %s", trouble)
        elif self._trouble and not trouble:
            logger.info("traffic plan is read again")
        self._trouble = trouble
