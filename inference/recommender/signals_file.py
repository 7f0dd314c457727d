"""What a bundle's signals were made with (`signals.json`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from core.errors import InvalidBundleError
from inference.recommender.blend import FoldIn

FILE: Final = "signals.json"


class SignalsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of `signals.json`; without what it need not say, so that earlier versions read it too.

    A rating counts as its distance from `rating_mean` in units of `rating_spread` (0: ratings tell nothing). With
    `shares` they are watched shares instead.
    """

    als_recent: FoldIn
    rating_mean: float = 0.0
    rating_spread: float = 0.0
    shares: bool = False


def read_signals_file(folder: Path) -> SignalsFile:
    """The settings beside the arrays.

    Raises:
        InvalidBundleError: not such a file, or a number that is not finite.
    """
    path = folder / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=SignalsFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise InvalidBundleError(f"{folder}: file {FILE!r} cannot be used: {error}") from None
    if not np.isfinite([found.rating_mean, found.rating_spread]).all() or found.rating_spread < 0:
        raise InvalidBundleError(f"{folder}: file {FILE!r} needs finite ratings and a spread of 0 or more")
    return found
