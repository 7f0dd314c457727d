"""A forecast in sentences: what the plan can decide on this traffic, how long it takes, and what it cannot."""

from __future__ import annotations

from deploy.evaluation.power import Forecast, Outcome
from deploy.evaluation.reasons import duration


def advice(found: Forecast) -> tuple[str, ...]:
    """Sentences; the first says what cannot be decided, if anything."""
    verdict = () if found.can_tell else (cannot(found),)
    return (*verdict, _traffic(found), *(_outcome(outcome) for outcome in found.outcomes), *_limits(found))


def cannot(found: Forecast) -> str:
    """`12 h at 2,000 viewers a day cannot tell a 5% loss from none.`"""
    viewers = f"{found.traffic.viewers_a_day:,.0f} viewers a day"
    return f"{duration(found.duration_ms)} at {viewers} cannot tell a {_part(found.loss)} loss from none."


def _traffic(found: Forecast) -> str:
    traffic = found.traffic
    return (
        f"Reckoned with {traffic.viewers_a_day:,.0f} viewers and {traffic.requests_a_day:,.0f} requests a day, "
        f"of which {_part(traffic.base_rate)} lead to something watched; the requests of one viewer "
        f"correlate by {traffic.correlation:.2f}."
    )


def _outcome(outcome: Outcome) -> str:
    told = (
        f"{_quality(outcome.effect)}: promoted in {_part(outcome.promoted)}, "
        f"rolled back in {_part(outcome.rolled_back)}, undecided in {_part(outcome.undecided)} of releases"
    )
    if outcome.median_ms is None or outcome.p90_ms is None:
        return told + "."
    return (
        f"{told}; half of the verdicts within {duration(outcome.median_ms)} "
        f"({outcome.canary_viewers:,} canary viewers), 90% within {duration(outcome.p90_ms)}."
    )


def _limits(found: Forecast) -> tuple[str, ...]:
    told = []
    if found.smallest_loss is not None:
        told.append(f"A loss of {_part(found.smallest_loss)} or more is rolled back in 80% of releases.")
    else:
        told.append("Not even the loss of everything is found by comparing what is watched.")
    needed = found.viewers_needed
    if needed is None:
        told.append("No number of viewers gets an equal version promoted in 80% of releases under this plan.")
    elif needed > found.traffic.viewers_a_day:
        told.append(
            f"About {needed:,.0f} viewers a day get an equal version promoted in 80% of releases "
            f"within {duration(found.duration_ms)}."
        )
    return tuple(told)


def _quality(effect: float) -> str:
    if not effect:
        return "A version as good as main"
    return f"A version {_part(abs(effect))} {'better' if effect > 0 else 'worse'}"


def _part(value: float) -> str:
    """A part of 1 as a percentage, with as many digits as mean something."""
    percent = 100 * value
    return f"{percent:.0f}%" if percent >= 10 or percent == round(percent) else f"{percent:.1f}%"
