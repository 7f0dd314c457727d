"""`understudy ingest | serve | balance | control`: the processes of the platform, each in the foreground."""

from __future__ import annotations

import click

from understudy.commands.letters import replay_dead_letters
from understudy.wiring import load_platform, open_migrated_store

port_option = click.option(
    "--port", type=click.IntRange(1, 65535), help="Port on loopback.  [default: the setting's]"
)


def _given(**values: object) -> dict[str, object]:
    """The options that were given: they win over the environment."""
    return {name: value for name, value in values.items() if value is not None}


@click.group(invoke_without_command=True)
@port_option
@click.pass_context
def ingest(context: click.Context, port: int | None) -> None:
    """Read the event log into SQL and the serving store until SIGTERM; or one of the commands below."""
    if context.invoked_subcommand is not None:
        return
    from ingest.server import run
    from ingest.settings import IngestSettings

    platform = load_platform(service=True)
    open_migrated_store(platform).close()
    run(IngestSettings.load(**_given(port=port)), platform)


ingest.add_command(replay_dead_letters)


@click.command()
@click.argument("version")
@port_option
def serve(version: str, port: int | None) -> None:
    """Serve recommendations of one bundle VERSION over HTTP until SIGTERM."""
    from inference.server import run
    from inference.settings import InferenceSettings

    platform = load_platform(service=True)
    run(InferenceSettings.load(**_given(port=port)), platform, version)


@click.command()
@port_option
def balance(port: int | None) -> None:
    """Route viewers to main and canary by the traffic plan, until SIGTERM."""
    from load_balancer.server import run
    from load_balancer.settings import BalancerSettings

    platform = load_platform(service=True)
    open_migrated_store(platform).close()
    run(BalancerSettings.load(**_given(port=port)), platform)


@click.command()
@port_option
def control(port: int | None) -> None:
    """Serve the release pages and the admin API, until SIGTERM."""
    from load_balancer.control.server import run
    from load_balancer.control.settings import ControlSettings

    platform = load_platform(service=True)
    open_migrated_store(platform).close()
    run(ControlSettings.load(**_given(port=port)), platform)
