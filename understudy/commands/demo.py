"""`understudy demo`: the whole story in one command."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from understudy.wiring import load_platform


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A GroupLens folder: ml-100k, ml-1m or ml-latest.  [default: fetch MovieLens-100k]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the viewers' choices.")
@click.option("--balancer-port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--control-port", type=click.IntRange(1, 65535), default=8081, show_default=True)
@click.option("--reader-port", type=click.IntRange(1, 65535), default=8082, show_default=True)
@click.option("--exit", "leave", is_flag=True, help="End after the story instead of running until Ctrl-C.")
def demo(
    data: Path | None, seed: int, balancer_port: int, control_port: int, reader_port: int, leave: bool
) -> None:
    """Train two versions on real data, serve them, and let the audience decide. Run again, it goes on from there."""
    from understudy.demo.run import run_demo
    from understudy.demo.steps import Ports

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    platform = load_platform()
    ports = Ports(balancer_port, control_port, reader_port)
    run_demo(platform, ports, data=data, seed=seed, stay=not leave)


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM, or a terminal that is closed, ends the demo as Ctrl-C does: children first."""
    raise KeyboardInterrupt
