"""The measured part of docs/serving-figures.md, made of the rows of `bench_serving`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

BEGIN: Final = "<!-- measured: {part}, written by `make bench-serving` -->"
END: Final = "<!-- end of measured -->"


class Bounded(NamedTuple):
    """A measured value with what it has to be and what we aim for; `reached` is its standing in words."""

    value: str
    must: str
    aim: str
    reached: str


class Row(NamedTuple):
    """One figure: a bounded one or one that is only told, and what it was made of."""

    name: str
    figure: Bounded | str
    made_of: str

    def cells(self) -> tuple[str, ...]:
        figure = Bounded(self.figure, "", "", "") if isinstance(self.figure, str) else self.figure
        return (self.name, figure.value, figure.must, figure.aim, figure.reached, self.made_of)


def at_most(value: float, must: float, aim: float, unit: str) -> Bounded:
    """A figure that is good when it is small."""
    return _bounded(value, must, aim, unit, met=value <= must, aimed=value <= aim)


def at_least(value: float, must: float, aim: float, unit: str) -> Bounded:
    """A figure that is good when it is large."""
    return _bounded(value, must, aim, unit, met=value >= must, aimed=value >= aim)


def _bounded(value: float, must: float, aim: float, unit: str, *, met: bool, aimed: bool) -> Bounded:
    reached = "aim reached" if aimed else "reached" if met else "**not reached**"
    return Bounded(f"{value:.3g}{unit}", f"{must:g}{unit}", f"{aim:g}{unit}", reached)


def table(rows: Sequence[Row]) -> str:
    """All rows in Markdown."""
    lines = ["| | measured | must | aim | | made of |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row.cells())} |" for row in rows)])
