"""The learned order of candidates: a LightGBM model in text form (`ranker.txt`) over named features."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidBundleError
from inference.recommender.arrays import F32
from inference.recommender.features import NAMES

FILE: Final = "ranker.txt"
_FIELD: Final = re.compile(
    r"^(num_leaves|split_feature|left_child|right_child|leaf_value)=(.*)$", re.MULTILINE
)


class Ranker:
    """Scores candidates by their features. Thread-safe: predicting changes nothing."""

    def __init__(self, text: str) -> None:
        """Load the model.

        Raises:
            ValueError: LightGBM cannot read it, or it was trained on other features.
        """
        import lightgbm  # noqa: PLC0415 a bundle without a ranker does not wait for it

        self.text = text
        _check(text)
        try:
            self._booster: Any = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"LightGBM cannot read it: {error}") from None
        if self._booster.feature_name() != list(NAMES):
            raise ValueError("it was trained on other features than this build makes: train again")

    def scores(self, features: F32) -> NDArray[np.float64]:
        """One score a row of features (n, len(NAMES)): the sum of its `contributions`; higher is better."""
        return np.asarray(self._booster.predict(features, raw_score=True, num_threads=1))

    def importance(self) -> dict[str, float]:
        """Each feature's share of what all splits of all trees gained, the largest first."""
        gains = np.asarray(self._booster.feature_importance("gain"), np.float64)
        shares = gains / max(float(gains.sum()), 1e-12)
        return {NAMES[place]: round(float(shares[place]), 4) for place in np.argsort(-shares, kind="stable")}

    def contributions(self, features: F32) -> NDArray[np.float64]:
        """What each feature adds to each score (n, len(NAMES) + 1); the last column is the same for all."""
        return np.asarray(self._booster.predict(features, num_threads=1, pred_contrib=True))


def _check(text: str) -> None:
    """Refuse trees whose nodes point anywhere but inside: LightGBM would follow them out of its memory."""
    trees = text.split("\nTree=")[1:]
    if not trees or "\nend of trees" not in text:
        raise ValueError("it is not a whole LightGBM model")
    for tree in trees:
        fields = dict(_FIELD.findall(tree))
        leaves = _numbers(fields, "num_leaves", 1, 1, 1 << 20)[0]
        nodes = int(leaves) - 1
        _numbers(fields, "split_feature", nodes, 0, len(NAMES) - 1)
        for child in ("left_child", "right_child"):
            _numbers(fields, child, nodes, -leaves, nodes - 1)
        _numbers(fields, "leaf_value", int(leaves), -1e9, 1e9)


def _numbers(fields: dict[str, str], name: str, count: int, low: float, high: float) -> NDArray[np.float64]:
    found = np.array(fields.get(name, "").split(), np.float64)
    if len(found) != count or not ((found >= low) & (found <= high)).all():
        raise ValueError(f"a tree has {name} that do not fit it")
    return found


def read_ranker(folder: Path) -> Ranker:
    """The ranker of a bundle.

    Raises:
        InvalidBundleError: not a LightGBM model over exactly our features.
    """
    try:
        return Ranker((folder / FILE).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:  # UnicodeDecodeError is a ValueError
        raise InvalidBundleError(f"{folder}: file {FILE!r} is no ranker: {error}") from None
