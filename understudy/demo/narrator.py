"""What the demo says: one line a step, with the time it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click


@dataclass(slots=True)
class Narrator:
    """Prints to standard output; elapsed times are of this run."""

    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Say what begins; at its end say how long it took."""
        click.echo(f"{click.style('•', fg='cyan')} {title}")
        begun = time.monotonic()
        yield
        took, elapsed = time.monotonic() - begun, time.monotonic() - self.started
        click.echo(click.style(f"    {took:.1f} s  (at {elapsed:.0f} s)", dim=True))

    def say(self, text: str) -> None:
        for line in text.splitlines():
            click.echo(f"    {line}")

    def title(self, text: str) -> None:
        click.echo()
        click.echo(click.style(text, bold=True))
