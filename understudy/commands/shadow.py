"""`understudy release shadow | tester`: what is tried without any viewer, or with one who knows."""

from __future__ import annotations

import click

from core.clock import SystemClock
from core.errors import InvalidInputError
from core.traffic import Arm
from understudy.output import FiniteRange, json_option, show
from understudy.wiring import load_platform, open_migrated_store


@click.command()
@click.argument("version", required=False)
@click.option(
    "--share",
    type=FiniteRange(0, 1, min_open=True),
    default=0.05,
    show_default=True,
    help="Share of the requests that are copied.",
)
@click.option("--off", is_flag=True, help="No more copies; the candidate is stopped.")
@json_option
def shadow(version: str | None, share: float, off: bool, as_json: bool) -> None:
    """Start VERSION and copy requests to it; its answers are compared, counted and thrown away."""
    from deploy.settings import DeploySettings
    from deploy.wiring import build_shadow

    if (version is None) != off:
        raise InvalidInputError("give a VERSION to copy requests to, or --off")
    platform = load_platform()
    open_migrated_store(platform).close()
    switch = build_shadow(platform, DeploySettings.load(), SystemClock())
    plan = switch.on(version, share) if version is not None else switch.off()
    show(plan, as_json, lambda: [f"traffic plan {plan.epoch}: {plan.reason}"])


@click.command()
@click.argument("user_id")
@click.option("--arm", type=click.Choice(["main", "canary"]), help="The arm that this viewer is given.")
@click.option("--off", is_flag=True, help="The arm that any viewer would be given.")
@json_option
def tester(user_id: str, arm: Arm | None, off: bool, as_json: bool) -> None:
    """Force one viewer to an arm while somebody plays canary; a tester counts in no evaluation."""
    from deploy.amending import force

    if (arm is None) != off:
        raise InvalidInputError("give --arm main, --arm canary or --off")
    database = open_migrated_store(load_platform())
    plan = force(database, SystemClock(), user_id, arm)
    database.close()
    show(plan, as_json, lambda: [f"traffic plan {plan.epoch}: {plan.reason}"])
