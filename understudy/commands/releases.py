"""`understudy release ...`: what an operator may ask of a release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from core.clock import SystemClock, format_ms
from core.errors import RefusedError
from deploy.releases import ReleaseManager
from deploy.settings import DeploySettings
from deploy.wiring import build_manager
from storage.releases import ReleaseRow
from understudy.commands.archive import export, replay
from understudy.commands.forecast import plan_command
from understudy.commands.shadow import shadow, tester
from understudy.commands.status import status_lines
from understudy.output import FiniteRange, json_option, show
from understudy.plans import read_plan
from understudy.wiring import load_platform, open_migrated_store

reason_option = click.option("--reason", default="", help="Why; kept with the release.")


@click.group(no_args_is_help=True)
def release() -> None:
    """Start, watch and end the release of a new version."""


for command_of_its_own in (plan_command, export, replay, shadow, tester):
    release.add_command(command_of_its_own)


def _manager(*, service: bool = False) -> ReleaseManager:
    platform = load_platform(service=service)
    open_migrated_store(platform).close()
    return build_manager(platform, DeploySettings.load(), SystemClock())


def _settled(manager: ReleaseManager, row: ReleaseRow) -> ReleaseRow:
    """The release once no step of it is under way; the newest may be another, refused since."""
    newest = manager.settle()
    return newest if newest is not None and newest.release_id == row.release_id else row


@release.command()
@click.argument("version")
@click.option("--plan", type=click.Path(path_type=Path), help="JSON file with the release plan.")
@click.option("--force", is_flag=True, help="Start although the offline gate refuses; needs --reason.")
@click.option("--replace", is_flag=True, help="Abort the release that is open, and start this one.")
@reason_option
@json_option
def start(version: str, plan: Path | None, force: bool, replace: bool, reason: str, as_json: bool) -> None:
    """Put bundle VERSION before a small part of the audience."""
    chosen = read_plan(plan) if plan is not None else None
    row = _manager().start(version, plan=chosen, force=force, reason=reason, replace=replace)
    show(row, as_json, lambda: [f"{row.version} is {row.state} (release {row.release_id})"])


@release.command()
@json_option
def status(as_json: bool) -> None:
    """Main, canary, share, the last look, and what happens next."""
    found = _manager().status()
    show(found, as_json, lambda: status_lines(found))


@release.command()
@json_option
def tick(as_json: bool) -> None:
    """Do what is due: looks, ramp, verdict, promotion or rollback. Safe to run at any time, by anybody."""
    row = _manager().tick()
    show(row, as_json, lambda: [f"{row.version} is {row.state}" if row else "no release is open"])


@release.command()
@click.option("--every", "seconds", type=FiniteRange(0.1), help="Seconds between two ticks.")
def watch(seconds: float | None) -> None:
    """The built-in scheduler: tick until SIGTERM."""
    from deploy.schedule import run_until_terminated

    settings = DeploySettings.load(**({"tick_s": seconds} if seconds else {}))
    run_until_terminated(_manager(service=True), settings.tick_s)


def _asks(name: str, help_text: str, ask: Callable[[ReleaseManager, str], Any]) -> None:
    """A subcommand that asks for one change and then waits until it is carried out."""

    @release.command(name, help=help_text)
    @reason_option
    @json_option
    def command(reason: str, as_json: bool) -> None:
        manager = _manager()
        row = _settled(manager, ask(manager, reason))
        show(row, as_json, lambda: [f"{row.version} is {row.state}"])


_asks("abort", "Give everybody main at once and end the open release.", lambda m, reason: m.abort(reason))
_asks("pause", "Hold ramp and promotion; harm still rolls back.", lambda m, reason: m.pause(reason))
_asks("resume", "Go on after a pause.", lambda m, reason: m.resume(reason))


@release.command()
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Without waiting for evidence; needs --reason.")
@reason_option
@json_option
def promote(version: str | None, force: bool, reason: str, as_json: bool) -> None:
    """Make the canary main without a verdict (with --force and --reason); with VERSION, only if it is that one."""
    manager = _manager()
    canary = manager.status()["canary"]
    playing = canary["version"] if canary else "no version"
    if version is not None and version != playing:
        raise RefusedError(f"{playing} plays canary, not {version}")
    row = _settled(manager, manager.promote(force=force, reason=reason))
    show(row, as_json, lambda: [f"{row.version} is {row.state}"])


@release.command()
@click.option("--to", "version", help="The version to go back to.  [default: the main before this one]")
@reason_option
@json_option
def rollback(version: str | None, reason: str, as_json: bool) -> None:
    """End an open release, or make an earlier version main again."""
    manager = _manager()
    row = _settled(manager, manager.rollback(to=version, reason=reason))
    show(row, as_json, lambda: [f"{row.version} is {row.state}"])


@release.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
def history(limit: int, as_json: bool) -> None:
    """The releases so far, newest first, with verdict and reason."""
    rows = _manager().history(limit)
    show(rows, as_json, lambda: [_line(row) for row in rows] or ["no release yet"])


@release.command()
@click.argument("release_id", required=False)
@json_option
def explain(release_id: str | None, as_json: bool) -> None:
    """Why a release (the last one by default) was promoted, rolled back or neither, in sentences."""
    found = _manager().explain(release_id)
    show(found, as_json, lambda: list(found["sentences"]))


def _line(row: dict[str, Any]) -> str:
    started = format_ms(row["started_ms"])
    return f"{started}  {row['version']:20} {row['state']:14} {row.get('verdict') or '-':12} {row.get('reason', '')}"
