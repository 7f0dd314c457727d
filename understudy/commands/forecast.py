"""`understudy release plan`: what a release could decide on this traffic, before anything is started."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import msgspec

from core.clock import HOUR, SystemClock
from core.errors import InvalidInputError
from deploy.evaluation import ReleasePlan
from deploy.settings import DeploySettings
from understudy.output import FiniteRange, json_option, show
from understudy.plans import read_plan
from understudy.wiring import load_platform, open_migrated_store


@click.command("plan")
@click.option("--plan", "path", type=click.Path(path_type=Path), help="JSON file with the release plan.")
@click.option(
    "--hours", type=FiniteRange(0, min_open=True), help="The longest duration, instead of the plan's."
)
@click.option(
    "--loss",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="The loss of watch-through that must be told from none.",
)
@click.option(
    "--days",
    type=FiniteRange(0, 60, min_open=True),
    default=3,
    show_default=True,
    help="Days of traffic to read.",
)
@click.option(
    "--viewers-a-day",
    type=FiniteRange(0, min_open=True),
    help="Reckon with so many viewers a day instead of reading them.",
)
@click.option(
    "--requests-per-viewer",
    type=FiniteRange(0, min_open=True),
    help="Requests of a viewer on a day.  [with --viewers-a-day: 10]",
)
@click.option(
    "--base-rate", type=FiniteRange(0, 1), help="Part of requests that lead to something watched.  [0.1]"
)
@click.option(
    "--correlation", type=FiniteRange(0, 1), help="Correlation of a viewer's requests, 0 to 1.  [0.1]"
)
@json_option
def plan_command(
    path: Path | None,
    hours: float | None,
    loss: float,
    days: float,
    viewers_a_day: float | None,
    requests_per_viewer: float | None,
    base_rate: float | None,
    correlation: float | None,
    as_json: bool,
) -> None:
    """How long a verdict takes, how many viewers it needs, and what cannot be decided.

    The traffic is that of the last days, or the one that the options describe.
    """
    from deploy.evaluation.advice import advice
    from deploy.evaluation.power import Traffic, forecast
    from deploy.traffic import measure_traffic
    from deploy.wiring import default_plan

    platform = load_platform()
    plan = read_plan(path) if path is not None else default_plan(DeploySettings.load())
    if hours is not None:
        plan = _lasting(plan, round(hours * HOUR))
    given = (requests_per_viewer, base_rate, correlation)
    if viewers_a_day is not None:
        chosen = [
            default if value is None else value for value, default in zip(given, (10, 0.1, 0.1), strict=True)
        ]
        traffic = Traffic.of(viewers_a_day, *chosen)
    elif any(value is not None for value in given):
        raise InvalidInputError(
            "--requests-per-viewer, --base-rate and --correlation go with --viewers-a-day"
        )
    else:
        traffic = measure_traffic(open_migrated_store(platform), plan, SystemClock().now_ms(), days)
    found = forecast(plan, traffic, loss)
    sentences = advice(found)
    answer = {**msgspec.to_builtins(found), "sentences": sentences}
    show(answer, as_json, lambda: list(sentences))


def _lasting(plan: ReleasePlan, duration_ms: int) -> ReleasePlan:
    """The plan with another longest duration; the shortest gives way to it."""
    return dataclasses.replace(
        plan, max_duration_ms=duration_ms, min_duration_ms=min(plan.min_duration_ms, duration_ms)
    )
