"""Recipes: which sources a bundle uses and how they are weighed, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from core.errors import InvalidInputError
from training.als import AlsSettings
from training.covisitation import CovisitationSettings
from training.ranker import RankerSettings
from training.signals import SignalSettings
from training.tower_settings import TowerSettings


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build one bundle.

    `sources` are the starting weights; with `tuned` they and the trending half-life are chosen on rolling
    folds inside the training data. `properties` weigh what a video is worth by itself. `descending: False`
    makes the broken build. With `signals` and `ranker` a learned ranker orders what all sources propose, and
    the blend is for viewers of whom nothing is known; with `towers` a two-tower model proposes too. `diversity` and `cold_share` are for served lists.
    """

    name: str
    sources: Mapping[str, float]
    properties: Mapping[str, float] = field(default_factory=dict)
    half_life_days: float = 14.0
    tuned: bool = False
    descending: bool = True
    neighbours: int = 20
    als: AlsSettings = field(default_factory=AlsSettings)
    covisitation: CovisitationSettings = field(default_factory=CovisitationSettings)
    diversity: float = 0.0
    cold_share: float = 0.0
    signals: SignalSettings | None = None
    ranker: RankerSettings | None = None
    towers: TowerSettings | None = None


# The simple design: what is close in content to what was watched, ranked by popularity and rating.
CONTENT: Final = Recipe("content", {"content": 0.1}, {"popularity": 0.6, "rating": 0.3})
BLEND: Final = Recipe("blend", {"als": 1.0, "covisitation": 1.0, "trending": 1.0, "content": 0.1}, tuned=True)
RANKED: Final = Recipe(
    "ranked",
    {"trending": 1.0, "new": 0.1},
    als=AlsSettings(factors=16, regularization=10.0, alpha=2.0, iterations=10),
    covisitation=CovisitationSettings(width=100, doubt=1.0),
    diversity=0.1,
    cold_share=0.05,
    signals=SignalSettings(),
    ranker=RankerSettings(),
)
# Needs the extra `towers`. Not the default: docs/decisions/010-two-towers.md says what it was measured to bring.
TOWERS: Final = replace(RANKED, name="towers", towers=TowerSettings())
BROKEN: Final = replace(BLEND, name="broken", descending=False)
RECIPES: Final = {recipe.name: recipe for recipe in (CONTENT, BLEND, RANKED, TOWERS, BROKEN)}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        InvalidInputError: none; all names are listed.
    """
    if name not in RECIPES:
        raise InvalidInputError(f"no recipe {name[:40]!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
