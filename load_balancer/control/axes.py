"""Axes of a plot: round ticks over a range, and where a value lies on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import DAY, HOUR, MINUTE, SECOND
from load_balancer.control.words import duration

_TIME_STEPS = tuple(
    size * unit
    for unit, sizes in (
        (SECOND, (1, 2, 5, 10, 15, 30)),
        (MINUTE, (1, 2, 5, 10, 15, 30)),
        (HOUR, (1, 2, 3, 6, 12)),
        (DAY, (1, 2, 7, 14, 30)),
    )
    for size in sizes
)

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values `low`..`high` to paper `start`..`end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        part = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + part * (self.end - self.start), 1)

    def clamped(self, value: float) -> float:
        """The same, but never off the paper."""
        return self(min(max(value, self.low), self.high))


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


def time_ticks(scale: Scale, most: int) -> list[Tick]:
    """Ticks over milliseconds since the start, at most `most` steps apart."""
    span = scale.high - scale.low
    step = next((step for step in _TIME_STEPS if span / step <= most), _TIME_STEPS[-1])
    first = math.ceil(scale.low / step)
    return [
        Tick(scale(number * step), duration(number * step) if number else "start")
        for number in range(first, math.floor(scale.high / step) + 1)
    ]


def round_ticks(scale: Scale, most: int, unit: str = "") -> list[Tick]:
    """Ticks at 1, 2 or 5 times a power of ten, at most `most` steps apart, with a sign."""
    raw = (scale.high - scale.low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * size for size in (1, 2, 5, 10) if power * size >= raw * 0.999)
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    return [Tick(scale(n * step), _signed(n * step, unit)) for n in range(first, last + 1)]


def decade_ticks(scale: Scale) -> list[Tick]:
    """Ticks at powers of ten over a scale of decimal logarithms."""
    return [
        Tick(scale(power), _decade(power))
        for power in range(math.ceil(scale.low), math.floor(scale.high) + 1)
    ]


def path(points: Sequence[tuple[float, float]]) -> str:
    """The `d` of a line through points; empty for none."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def stairs(points: Sequence[tuple[float, float]], end: float) -> str:
    """The `d` of a line that keeps each value until the next, and the last until `end`."""
    steps: list[tuple[float, float]] = []
    for number, (x, y) in enumerate(points, 1):
        steps += [(x, y), (points[number][0] if number < len(points) else end, y)]
    return path(steps)


def _decade(power: int) -> str:
    if abs(power) > 3:
        return f"10{str(power).translate(_SUPERSCRIPT)}"
    return f"{10**power:,}" if power >= 0 else f"1/{10**-power:,}"


def _signed(value: float, unit: str) -> str:
    if abs(value) < 1e-9:
        return f"0{unit}"
    return f"{'+' if value > 0 else '−'}{abs(value):g}{unit}"
