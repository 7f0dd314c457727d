"""Viewers may be known by any whole numbers, as hashes are; what is remembered of them stands in dense arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deploy.evaluation.looks import Ints, Look

OWN_NUMBER = 2**20  # smaller numbers stay as they are, at no cost


class Numbering:
    """Gives numbers from `OWN_NUMBER` on to viewers of larger ones, in the order of the looks they appear in."""

    def __init__(self) -> None:
        self._known: Ints = np.empty(0, np.int64)  # in order
        self._given: Ints = np.empty(0, np.int64)  # to each of these

    def of(self, look: Look) -> Look:
        """The same look; its viewers by number."""
        parts = (look.before, look.matured, look.served)
        if all(not part.viewer.size or int(part.viewer.max()) < OWN_NUMBER for part in parts):
            return look
        return replace(
            look,
            before=replace(look.before, viewer=self._numbers(look.before.viewer)),
            matured=replace(look.matured, viewer=self._numbers(look.matured.viewer)),
            served=replace(look.served, viewer=self._numbers(look.served.viewer)),
        )

    def _numbers(self, viewer: Ints) -> Ints:
        large = viewer >= OWN_NUMBER
        new = np.setdiff1d(viewer[large], self._known)
        place = np.searchsorted(self._known, new)
        given = OWN_NUMBER + self._known.size + np.arange(new.size)
        self._known, self._given = np.insert(self._known, place, new), np.insert(self._given, place, given)
        numbers = viewer.copy()
        numbers[large] = self._given[np.searchsorted(self._known, viewer[large])]
        return numbers
