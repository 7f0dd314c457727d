"""What the last days' traffic was like: the numbers that the power calculator asks for, out of the stored rows."""

from __future__ import annotations

import numpy as np

from core.clock import DAY, HOUR
from core.errors import RefusedError
from deploy.crediting import Ints
from deploy.evaluation import ReleasePlan
from deploy.evaluation.power import Traffic
from deploy.outcome_rows import Roster
from deploy.outcomes import history
from deploy.rows import DatabaseRows
from storage.database import Database

LEAST_REQUESTS = 200
LEAST_SPAN_MS = HOUR  # what is known of less says nothing about a day


def measure_traffic(database: Database, plan: ReleasePlan, now_ms: int, days: float) -> Traffic:
    """The traffic of the last `days`, or of as many as there were.

    Raises:
        RefusedError: too few requests that have had their window.
    """
    first_ms, last_ms = now_ms - round(days * DAY), now_ms - plan.horizon_ms
    rows, roster = DatabaseRows(database), Roster()
    exposures, (interactions, _) = (
        rows.exposures_between(first_ms, last_ms, roster),
        rows.interactions(first_ms, now_ms),
    )
    served_ms = exposures.served_ms
    if served_ms.size < LEAST_REQUESTS:
        raise RefusedError(
            f"only {served_ms.size} requests of the last {days:g} days have had their window, {LEAST_REQUESTS} "
            "are needed; say what the traffic is like with --viewers-a-day and the options beside it"
        )
    by_viewer = history(plan, exposures, interactions, last_ms + plan.window_ms, rows, roster)
    requests, successes = np.array(list(by_viewer.values()), np.int64).T
    span_ms = max(last_ms - int(served_ms.min()), LEAST_SPAN_MS)
    return Traffic(
        viewers_a_day=_viewers_a_day(exposures.viewer, served_ms, span_ms),
        requests_a_day=served_ms.size * DAY / span_ms,
        base_rate=_rate(requests, successes),
        correlation=correlation(requests, successes),
        clustering=float((requests**2).sum() / requests.sum()),
        viewers=float(requests.size),
        over_ms=span_ms,
    )


def correlation(requests: Ints, successes: Ints) -> float:
    """How much the outcomes of two requests of one viewer correlate (ICC), 0 to 1.

    By moments: the covariance of pairs within viewers over the variance of one outcome, sums over all pairs.
    """
    rate = _rate(requests, successes)
    pairs = (requests * (requests - 1)).sum()
    if not pairs:
        return 0.0
    between = ((successes - requests * rate) ** 2 - successes * (1 - 2 * rate) - requests * rate**2).sum()
    return float(np.clip(between / (pairs * rate * (1 - rate)), 0, 1))


def _rate(requests: Ints, successes: Ints) -> float:
    """The base rate; where nothing or everything was watched, as if one request had been otherwise."""
    total, watched = int(requests.sum()), int(successes.sum())
    return min(max(watched, 1), total - 1) / total


def _viewers_a_day(viewer: Ints, served_ms: Ints, span_ms: int) -> float:
    day = (served_ms - served_ms.min()) // DAY
    different = len(set(zip(viewer.tolist(), day.tolist(), strict=True)))
    return different / max(span_ms / DAY, 1.0) if span_ms > DAY else different * DAY / span_ms
