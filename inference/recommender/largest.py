"""The largest of many numbers, without ordering or even looking closely at the rest."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.recommender.arrays import F32, F64

STRETCHES: Final = 2  # for each number wanted
LEAST: Final = 512  # stretches: fewer are long, and the maxima of long ones take longer to find
TINY: Final = float(np.finfo(np.float32).tiny)


def largest(values: F32 | F64, count: int) -> NDArray[np.intp]:
    """Places of the `count` largest among those above 0; in no order.

    The values are cut into more stretches than are wanted, and each has its maximum. The `count`-th largest
    value is not below the `count`-th largest maximum, and little more than what is wanted reaches that.
    """
    (places,) = (values >= max(_floor(values, count), TINY)).nonzero()
    if len(places) <= count:
        return places
    return places[values[places].argpartition(len(places) - count)[-count:]]


def _floor(values: F32 | F64, count: int) -> float:
    stretches = max(STRETCHES * count, LEAST)
    length = len(values) // stretches
    if length < 2:
        return 0.0
    maxima = values[: length * stretches].reshape(length, stretches).max(axis=0)
    return float(np.partition(maxima, stretches - count)[stretches - count])
