"""Health of an arm: failing much, or not ready when asked, it is left out for a while, and comes back slowly."""

from __future__ import annotations

# Weight of the newest attempt in the running share of failures: an arm that fails always is out after
# 7 attempts, one that fails now and then (below half) stays, its errors counted and judged elsewhere.
NEWEST = 0.1
TOO_MANY = 0.5
# On return the share stands here: two failures in a row and it is out again.
ON_PROBATION = 0.4
FIRST_EJECTION_S = 1.0
LONGEST_EJECTION_S = 30.0
RETURN_S = 10.0
FIRST_SHARE = 0.05
# Probes that fail in a row until they count: one may be late for any reason.
PROBES = 3
# What an arm that is not ready may be sent: nothing, as long as there is another one.
LAST_RESORT = 1e-9


class Circuit:
    """A value with a clock from outside (any monotonic seconds)."""

    def __init__(self) -> None:
        self._failing = 0.0
        self._out_until = float("-inf")
        self._ejection_s = FIRST_EJECTION_S
        self._failed_probes = 0

    def weight(self, now: float) -> float:
        """Share of the requests that may be sent: 0 while ejected, growing to 1 over the ten seconds after.

        Next to nothing while it is not ready: such an arm is asked where nobody else is left.
        """
        since = now - self._out_until
        if self._failed_probes >= PROBES and since >= 0:
            return LAST_RESORT
        if since >= RETURN_S:
            return 1.0
        return 0.0 if since < 0 else max(FIRST_SHARE, since / RETURN_S)

    def record(self, succeeded: bool, now: float) -> bool:
        """Count one attempt; returns whether it made the arm be ejected."""
        if now < self._out_until:
            return False  # sent before the ejection
        self._failing += NEWEST * ((0.0 if succeeded else 1.0) - self._failing)
        if self._failing > TOO_MANY and not succeeded:
            self._eject(now)
            return True
        if self._failing < NEWEST and now >= self._out_until + RETURN_S:
            self._ejection_s = FIRST_EJECTION_S
        return False

    def probed(self, answered: bool, now: float) -> bool:
        """Count one probe; returns whether it made the arm be left out."""
        if not answered:
            self._failed_probes += 1
            return self._failed_probes == PROBES
        if self._failed_probes >= PROBES:  # it has just started: what it failed while it was away is over
            self._out_until = now
            self._ejection_s = FIRST_EJECTION_S
        self._failed_probes = 0
        return False

    def _eject(self, now: float) -> None:
        self._out_until = now + self._ejection_s
        self._ejection_s = min(2 * self._ejection_s, LONGEST_EJECTION_S)
        self._failing = ON_PROBATION
