"""A check of recommendations at a split in time, and its score: nothing of the platform is used for either.

A check is a folder: train.csv and items.csv for the recommender, users.txt to ask for, and truth.json, which
only the score may read. Definitions: everything before the split is known, the catalogue is what was rated
before it, viewers with at least five ratings are asked, every later rating counts alike.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COUNT: Final = 20
HIT_AT: Final = 10
COLD_BELOW: Final = 10
MIN_HISTORY: Final = 5
DAY_S: Final = 86_400
# Tried in hindsight on the very part that is scored: no system could know the best of them in advance.
HALF_LIVES_DAYS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7, 14, 30, 60, 90, 180)
_WEIGHTS: Final = 1 / np.log2(2 + np.arange(COUNT))
_IDEAL: Final = np.cumsum(_WEIGHTS)

Floats = NDArray[np.float64]
Lists = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Check:
    """What is known before the split, and what came after it."""

    train: pd.DataFrame
    truth: dict[str, set[str]]
    watched: dict[str, set[str]]
    rated: Counter[str]


@dataclass(frozen=True)
class Score:
    """One value a viewer in the order of `Check.truth`; figures of the catalogue; viewers with faulty lists."""

    ndcg: Floats
    recall: Floats
    hit: Floats
    coverage: float
    cold: float
    faults: dict[str, int]


def make_check(source: Path, target: Path, split: float) -> None:
    """Cut a data set's folder (ratings.csv + movies.csv, or ml-100k.inter + ml-100k.item) at one time."""
    ratings, items = _ratings_and_items(source)
    ratings = ratings[ratings["item"].isin(set(items["item"]))].sort_values(["ts", "user"], kind="stable")
    at = ratings["ts"].quantile(split)
    train, later = ratings[ratings["ts"] < at], ratings[ratings["ts"] >= at]
    known = set(train["item"])
    counts = train["user"].value_counts()
    returning = set(counts.index[counts >= MIN_HISTORY])
    asked = later[later["item"].isin(known) & later["user"].isin(returning)]
    truth = {str(user): group.astype(str).tolist() for user, group in asked.groupby("user")["item"]}
    target.mkdir(parents=True, exist_ok=True)
    train.to_csv(target / "train.csv", index=False)
    items[items["item"].isin(known)].to_csv(target / "items.csv", index=False)
    (target / "users.txt").write_text("".join(f"{user}\n" for user in truth))
    (target / "truth.json").write_text(json.dumps(truth))


def read_check(folder: Path) -> Check:
    """A check with its truth."""
    train = pd.read_csv(folder / "train.csv", dtype={"user": str, "item": str})
    truth = {user: set(items) for user, items in json.loads((folder / "truth.json").read_text()).items()}
    seen = train[train["user"].isin(set(truth))].groupby("user")["item"].agg(set).to_dict()
    return Check(train, truth, seen, Counter(train["item"]))


def read_lists(file: Path) -> dict[str, list[str]]:
    """The lists of a CSV user,item,rank, best first."""
    table = pd.read_csv(file, dtype={"user": str, "item": str}).sort_values("rank", kind="stable")
    return {str(user): items.tolist() for user, items in table.groupby("user")["item"]}


def trending(check: Check, half_life_days: float | None) -> dict[str, list[str]]:
    """One list for everybody by decayed counts, what was watched left out; without a half-life: popularity."""
    age = (check.train["ts"].max() - check.train["ts"]) / DAY_S
    weight = np.exp2(-age / half_life_days) if half_life_days else pd.Series(1.0, index=check.train.index)
    order = (
        weight.groupby(check.train["item"]).sum().sort_values(ascending=False, kind="stable").index.tolist()
    )
    return {user: _first(order, check.watched[user]) for user in check.truth}


def score(check: Check, lists: Lists) -> Score:
    """Compare the first twenty of every list with what the viewer rated after the split."""
    figures, faults, shown = [], Counter[str](), Counter[str]()
    for user, wanted in check.truth.items():
        got, seen = list(lists.get(user, ()))[:COUNT], check.watched[user]
        faults.update(_faults(got, seen, check.rated))
        shown.update(got)
        hits = np.array([item in wanted and item not in seen for item in got])
        gained = float(_WEIGHTS[: len(got)] @ hits) if got else 0.0
        ideal = _IDEAL[min(len(wanted), COUNT) - 1]
        figures.append((gained / ideal, hits.sum() / len(wanted), float(hits[:HIT_AT].any())))
    ndcg, recall, hit = np.array(figures, np.float64).reshape(-1, 3).T
    cold = sum(times for item, times in shown.items() if check.rated[item] < COLD_BELOW)
    return Score(
        ndcg,
        recall,
        hit,
        len(shown) / len(check.rated),
        cold / max(1, shown.total()),
        dict(sorted(faults.items())),
    )


def mean_and_error(values: Floats) -> tuple[float, float]:
    """The mean, and its standard error over viewers."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _faults(got: Sequence[str], seen: set[str], known: Mapping[str, int]) -> list[str]:
    found = {
        "short": len(got) < COUNT,
        "repeated": len(set(got)) < len(got),
        "watched": not seen.isdisjoint(got),
        "unknown": any(item not in known for item in got),
    }
    return [name for name, wrong in found.items() if wrong]


def _first(order: Sequence[str], seen: set[str]) -> list[str]:
    return [item for item in order[: COUNT + len(seen)] if item not in seen][:COUNT]


def _ratings_and_items(source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    if (source / "ratings.csv").is_file():
        ratings = _columns(pd.read_csv(source / "ratings.csv"), "userId movieId rating timestamp")
        movies = pd.read_csv(source / "movies.csv")
        genres = movies["genres"].str.replace("|", " ", regex=False)
        items: dict[str, Any] = {"item": movies["movieId"], "title": movies["title"], "genres": genres}
    else:
        ratings = _columns(pd.read_csv(source / "ml-100k.inter", sep="\t"), None)
        movies = pd.read_csv(source / "ml-100k.item", sep="\t")
        movies.columns = pd.Index(["item", "title", "year", "genres"])
        titles = movies["title"] + " (" + movies["year"].astype(str) + ")"
        items = {"item": movies["item"], "title": titles, "genres": movies["genres"]}
    return ratings[["user", "item", "ts", "rating"]], pd.DataFrame({**items, "overview": ""})


def _columns(ratings: pd.DataFrame, named: str | None) -> pd.DataFrame:
    if named is not None:
        ratings = ratings[named.split()]
    return ratings.set_axis(["user", "item", "rating", "ts"], axis=1)
