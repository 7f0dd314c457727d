"""What the command line prints: JSON for machines, short lines for people, progress only on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")


class FiniteRange(click.FloatRange):
    """A range of numbers; `nan`, which no bound refuses, and `inf` are none of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def show(result: Any, as_json: bool, lines: Callable[[], list[str]]) -> None:
    """Print `result` as JSON, or the lines made for people."""
    if as_json:
        document = msgspec.json.encode(msgspec.to_builtins(result, enc_hook=str), order="sorted")
        click.echo(msgspec.json.format(document, indent=2).decode())
        return
    for line in lines():
        click.echo(line)


Progress = Callable[[int, int], None]


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A function `(done, total)` that draws a bar on standard error, and nothing without a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console  # part of the demo extra; a server has no terminal
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
