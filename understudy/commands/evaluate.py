"""`understudy evaluate`: the online evaluation over files, for releases that some other platform runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from core.clock import format_ms, parse_ms
from core.errors import InvalidInputError
from deploy.evaluation import Look, ReleasePlan, Trail
from deploy.evaluation import evaluate as take_looks
from understudy.output import json_option, show
from understudy.plans import read_plan

a_file = click.Path(path_type=Path)


@click.command()
@click.option(
    "--plan", type=a_file, help="JSON file with the release plan.  [default: every parameter's default]"
)
@click.option(
    "--exposures", type=a_file, required=True, help="CSV or NDJSON, a row for each answered request."
)
@click.option("--interactions", type=a_file, required=True, help="CSV or NDJSON, a row for each event.")
@click.option("--before", type=a_file, help="CSV or NDJSON: user_id, requests, successes before the release.")
@click.option(
    "--started", help="When the canary got its first viewers (RFC 3339).  [default: the first exposure]"
)
@click.option("--until", help="The time of the last look (RFC 3339).  [default: when all have matured]")
@json_option
def evaluate(
    plan: Path | None,
    exposures: Path,
    interactions: Path,
    before: Path | None,
    started: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """The decision trail of a release, up to the first look that decides, from files."""
    from deploy.files import read_exposures, read_history, read_interactions
    from deploy.outcomes import looks

    chosen = read_plan(plan) if plan is not None else ReleasePlan()
    shown, events = read_exposures(exposures), read_interactions(interactions)
    if not len(shown.served_ms):
        raise InvalidInputError(f"{exposures} holds no exposure")
    first_ms, last_ms = int(min(shown.served_ms)), int(max(shown.served_ms))
    started_ms = parse_ms(started) if started else first_ms - 1
    if started_ms > last_ms:
        raise InvalidInputError(
            f"{exposures}: the last exposure is of {format_ms(last_ms)}, before --started"
        )
    until_ms = parse_ms(until) if until else started_ms + chosen.max_duration_ms
    settled_ms = last_ms + chosen.horizon_ms + chosen.look_every_ms  # nothing changes after this look
    history = read_history(before) if before is not None else None
    taken = looks(chosen, shown, events, started_ms, min(until_ms, settled_ms), history)
    trail = take_looks(chosen, taken if until else _to_the_end(taken, last_ms), started_ms)
    show(trail.to_json(), as_json, lambda: _told(trail))


def _to_the_end(taken: Iterable[Look], last_ms: int) -> Iterator[Look]:
    """A file that ends has no more to say: only with --until is that silence, in which nothing is decided."""
    return (replace(look, blind_ms=0) if look.at_ms > last_ms else look for look in taken)


def _told(trail: Trail) -> list[str]:
    if not trail.results:
        return ["no look is due yet"]
    last = trail.results[-1]
    verdict = last.decision if last.is_verdict else "no verdict"
    return [f"{format_ms(last.at_ms)}, look {last.look}: {verdict}", *last.reasons]
