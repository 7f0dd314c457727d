"""Two LightGBM models as one: the trees of both in one text, so that a sum costs serving nothing more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_HEAD_OF_TREE: Final = re.compile(r"^Tree=\d+\n", re.MULTILINE)
_SIZES: Final = re.compile(r"^tree_sizes=.*$", re.MULTILINE)
_LEAVES: Final = re.compile(r"^(leaf_value|internal_value)=(.*)$", re.MULTILINE)
_END: Final = "end of trees"


def merged(models: Sequence[tuple[str, float]]) -> str:
    """A model whose raw score is the sum of the models' own, each times its weight.

    Args:
        models: in LightGBM's text form, over the same features; what is not trees is taken of the first.
    """
    trees = [_scaled(tree, weight) for text, weight in models for tree in _trees(text)]
    numbered = [f"Tree={number}\n{tree}" for number, tree in enumerate(trees)]
    first = models[0][0]
    head = first[: first.index("Tree=")]
    sizes = "tree_sizes=" + " ".join(str(len(tree)) for tree in numbered)
    return _SIZES.sub(sizes, head) + "".join(numbered) + first[first.index(_END) :]


def _trees(text: str) -> list[str]:
    return _HEAD_OF_TREE.split(text[: text.index(_END)])[1:]


def _scaled(tree: str, weight: float) -> str:
    def weighed(field: re.Match[str]) -> str:
        return f"{field[1]}={' '.join(repr(weight * float(value)) for value in field[2].split())}"

    return _LEAVES.sub(weighed, tree)
