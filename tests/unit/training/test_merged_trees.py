"""A merged model scores as the weighted sum of its parts."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from training.merged_trees import merged


def trained(objective: str, seed: int, rounds: int) -> lightgbm.Booster:
    random = np.random.default_rng(seed)
    features = random.normal(size=(400, 3))
    features[::7, 1] = np.nan
    labels = (features[:, 0] + random.normal(size=400) > 0).astype(float)
    told = {"objective": objective, "verbosity": -1, "num_leaves": 5, "num_threads": 1}
    return lightgbm.train(told, lightgbm.Dataset(features, labels, group=[20] * 20), num_boost_round=rounds)


def test_it_is_the_weighted_sum() -> None:
    ranks, odds = trained("lambdarank", 1, 12), trained("binary", 2, 7)
    both = lightgbm.Booster(
        model_str=merged([(ranks.model_to_string(), 0.3), (odds.model_to_string(), 1 / 7)])
    )
    assert both.num_trees() == 19
    features = np.random.default_rng(3).normal(size=(50, 3))
    features[0] = np.nan
    expected = 0.3 * ranks.predict(features, raw_score=True) + odds.predict(features, raw_score=True) / 7
    np.testing.assert_allclose(both.predict(features), expected, atol=1e-12)
    parts = both.predict(features, pred_contrib=True)
    np.testing.assert_allclose(np.asarray(parts).sum(axis=1), expected, atol=1e-6)


def test_alone_and_with_weight_one_it_stays_what_it_is() -> None:
    ranks = trained("lambdarank", 1, 3)
    again = lightgbm.Booster(model_str=merged([(ranks.model_to_string(), 1.0)]))
    features = np.random.default_rng(3).normal(size=(50, 3))
    assert again.predict(features) == pytest.approx(ranks.predict(features), abs=0)
