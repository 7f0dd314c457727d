"""Two lists for the same request: how much of one is in the other, and in the same order. Pure."""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agreement:
    """`overlap` is the share (0 to 1) of the first list's videos that the second has too.

    `order` is the share of the pairs of common videos that stand in the same order in both; None where fewer
    than two are common.
    """

    overlap: float
    order: float | None


def compare(shown: Sequence[str], other: Sequence[str]) -> Agreement:
    """How `other` agrees with the list that was shown; two empty lists agree."""
    if not shown:
        return Agreement(0.0 if other else 1.0, None)
    place = {video: number for number, video in enumerate(other)}
    common = [place[video] for video in shown if video in place]
    return Agreement(len(common) / len(shown), _same_order(common))


def _same_order(places: Sequence[int]) -> float | None:
    pairs = len(places) * (len(places) - 1) // 2
    if not pairs:
        return None
    before: list[int] = []
    turned = 0
    for number in places:
        turned += len(before) - bisect(before, number)
        insort(before, number)
    return 1 - turned / pairs
