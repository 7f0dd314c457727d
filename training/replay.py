"""Rolling folds: the world as of some weeks ago, what the serving code would have found, what came after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import numpy as np

from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context, Request, allowed_rows
from inference.recommender.learned import Shortlist, shortlist
from inference.recommender.profile import profile_of
from inference.recommender.ranker import Ranker
from inference.recommender.recommend import Recommender
from training.dataset import Dataset
from training.fit import Vectors, fit
from training.ranker import Examples, RankerSettings, train_ranker
from training.recipes import Recipe
from training.splits import Split, period_of, sampled, split_at

PERIODS_BACK: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)


@dataclass(slots=True)
class Replay:
    """The worlds that were already trained, by their time: folds of several evaluations share them."""

    dataset: Dataset
    vectors: Vectors
    recipe: Recipe
    worlds: dict[int, Recommender] = field(default_factory=dict)

    def model(self, as_of_ms: int, until_ms: int, most_folds: int = len(PERIODS_BACK)) -> ModelBundle:
        """Everything trained on what came before `until_ms`, with its ranker where there is enough to learn."""
        world = self.world(as_of_ms, until_ms).model
        if self.recipe.ranker is None:
            return world
        folds = self.last_folds(until_ms, most_folds)
        examples = [examples_of(self.world(fold.split_ms, fold.split_ms), fold) for fold in folds]
        text = train_ranker(examples, self.recipe.ranker)
        return world if text is None else replace(world, ranker=Ranker(text))

    def world(self, as_of_ms: int, until_ms: int) -> Recommender:
        """Everything but the ranker, from what came before `until_ms`, as of `as_of_ms`."""
        if until_ms not in self.worlds:
            past = self.dataset.before(until_ms)
            self.worlds[until_ms] = Recommender(fit(past, self.vectors, self.recipe, as_of_ms))
        return self.worlds[until_ms]

    def last_folds(self, until_ms: int, most: int) -> list[Split]:
        """At most so many of `folds`."""
        return list(islice(self.folds(until_ms), most))

    def folds(self, until_ms: int) -> Iterator[Split]:
        """Worlds before `until_ms` by whole periods, until there are enough viewers or too little past."""
        how = self.recipe.ranker or RankerSettings()
        data, asked = self.dataset.before(until_ms), 0
        period_ms = period_of(self.dataset)
        idle = (until_ms - 1 - data.newest_ms) // period_ms if len(data) else 0  # nothing came: nobody to ask
        for back in PERIODS_BACK:
            split_ms = until_ms - (idle + back) * period_ms
            enough = np.searchsorted(data.at_ms, split_ms) >= max(1, how.least_past * len(data))
            if asked >= how.viewers or not enough:
                return
            split = sampled(split_at(data, split_ms, how.least_history), how.viewers_per_fold)
            asked += len(split.wanted)
            if split.wanted:
                yield split


def examples_of(world: Recommender, split: Split) -> Examples:
    """Run the serving code for each viewer of the split, and mark what was watched later."""
    found = [_found(world, split, viewer) for viewer in split.wanted]
    wanted = list(split.wanted.values())
    return Examples(
        np.concatenate([of.features for of in found]),
        np.concatenate([np.isin(of.rows, rows) for of, rows in zip(found, wanted, strict=True)]),
        np.array([len(of.rows) for of in found], np.int64),
    )


def _found(world: Recommender, split: Split, viewer: int) -> Shortlist:
    user_id = split.past.viewers[viewer]
    profile = profile_of(world.model, user_id, None)
    allowed = allowed_rows(world.model, Request(user_id), profile)
    context = Context(profile, split.split_ms)
    return shortlist(world.model, world.moment(None, split.split_ms), context, allowed)
