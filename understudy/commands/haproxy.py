"""`understudy haproxy`: the traffic plan in force as a configuration of HAProxy."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import InvalidInputError, RefusedError
from understudy.wiring import load_platform, open_migrated_store


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: standard output]")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="Where HAProxy listens.")
@click.option("--balancer", "balancers", multiple=True, help="URL of a load balancer of ours; repeatable.")
def haproxy(out: Path | None, listen: str, balancers: tuple[str, ...]) -> None:
    """Write the traffic plan in force as a configuration of HAProxy, which then assigns as our load balancers do."""
    from load_balancer.haproxy import Options, configuration
    from load_balancer.settings import BalancerSettings
    from storage.releases import current_plan

    with open_migrated_store(load_platform()).read() as connection:
        plan = current_plan(connection)
    if plan is None:
        raise RefusedError("no traffic plan has been published yet: start a release first")
    settings = BalancerSettings.load()
    text = configuration(plan, Options(listen, settings.attempt_ms, settings.connections, balancers))
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        # Beside it and then over it: a HAProxy that reloads right now reads the old file or the new one.
        beside = out.with_name(f"{out.name}.new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(out)
    except OSError as error:
        raise InvalidInputError(f"{out}: cannot be written: {error}") from None
    click.echo(f"{out}: traffic plan {plan.epoch}")
