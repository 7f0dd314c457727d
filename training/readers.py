"""Readers of the usual data sets: recbole's ml-100k, the GroupLens folders, plain CSV."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from core.errors import InvalidInputError
from training.dataset import Dataset, Videos, make_dataset

_TITLE_YEAR = re.compile(r"\((\d{4})\)\s*$")
_ML_100K_GENRES: Final = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
END_OF_TIME_S: Final = 253_402_300_800  # the year 10000
_NO_GENRES: Final = frozenset({"", "(no genres listed)", "unknown"})


def read_folder(folder: Path) -> Dataset:
    """The data set in a folder, recognised by its files.

    Takes recbole's ml-100k (ml-100k.inter, .item) and GroupLens' ml-100k (u.data, u.item), ml-1m
    (ratings.dat, movies.dat) and ml-latest (ratings.csv, movies.csv).

    Raises:
        InvalidInputError: none of these, or a file that cannot be read.
    """
    for (ratings, videos), reader in _LAYOUTS.items():
        if (folder / ratings).is_file() and (folder / videos).is_file():
            return reader(folder / ratings, folder / videos)
    known = "; ".join(" with ".join(files) for files in _LAYOUTS)
    raise InvalidInputError(f"no data set in {folder}; known layouts are {known}")


def read_csv(ratings: Path, items: Path, until_ms: int | None = None) -> Dataset:
    """Plain CSV: `user,item,ts,rating` (ts in seconds, rating may be left out) and `item,title,genres,overview`.

    Genres are separated by `|`, or by spaces where there is no `|`. Only `item` is required of the second. What is
    later than `until_ms` might as well not be in the file: a video watched again then was watched before.

    Raises:
        InvalidInputError: a file or a required column is missing, a time is no number, or nothing is left.
    """
    table = _table(items)
    _require(items, table, ["item"])
    ids = table["item"].tolist()
    titles = _column(table, "title")
    videos = _videos(ids, titles, _column(table, "genres"), _column(table, "overview"))
    events = _table(ratings)
    _require(ratings, events, ["user", "item", "ts"])
    return _dataset(ratings, videos, events, ["user", "item", "ts", "rating"], until_ms)


def _recbole(ratings: Path, items: Path) -> Dataset:
    table = _table(items, sep="\t").set_axis(["item", "title", "year", "genres"], axis=1)
    years = [int(year) if year.isdigit() else None for year in table["year"]]
    videos = _videos(table["item"].tolist(), table["title"].tolist(), table["genres"].tolist(), years=years)
    events = _table(ratings, sep="\t").set_axis(["user", "item", "rating", "ts"], axis=1)
    return _dataset(ratings, videos, events, ["user", "item", "ts", "rating"])


def _ml_100k(ratings: Path, items: Path) -> Dataset:
    table = _table(items, sep="|", header=None, encoding="latin-1")
    flags = table.iloc[:, 5 : 5 + len(_ML_100K_GENRES)].to_numpy() == "1"
    genres = ["|".join(np.array(_ML_100K_GENRES)[row]) for row in flags]
    videos = _videos(table[0].tolist(), table[1].tolist(), genres)
    events = _table(ratings, sep="\t", header=None).set_axis(["user", "item", "rating", "ts"], axis=1)
    return _dataset(ratings, videos, events, ["user", "item", "ts", "rating"])


def _ml_1m(ratings: Path, items: Path) -> Dataset:
    table = _double_colon(items).set_axis(["item", "title", "genres"], axis=1)
    videos = _videos(table["item"].tolist(), table["title"].tolist(), table["genres"].tolist())
    events = _double_colon(ratings).set_axis(["user", "item", "rating", "ts"], axis=1)
    return _dataset(ratings, videos, events, ["user", "item", "ts", "rating"])


def _ml_latest(ratings: Path, items: Path) -> Dataset:
    table = _table(items)
    _require(items, table, ["movieId", "title", "genres"])
    videos = _videos(table["movieId"].tolist(), table["title"].tolist(), table["genres"].tolist())
    events = _table(ratings)
    _require(ratings, events, ["userId", "movieId", "timestamp"])
    return _dataset(ratings, videos, events, ["userId", "movieId", "timestamp", "rating"])


_LAYOUTS: Final[dict[tuple[str, str], Callable[[Path, Path], Dataset]]] = {
    ("ml-100k.inter", "ml-100k.item"): _recbole,
    ("u.data", "u.item"): _ml_100k,
    ("ratings.dat", "movies.dat"): _ml_1m,
    ("ratings.csv", "movies.csv"): _ml_latest,
}


def _table(path: Path | io.BytesIO, **options: Any) -> pd.DataFrame:
    """Every cell as text: ids stay what they are, `NA` and leading zeros included.

    Lines longer than the header are refused: pandas would push every column aside.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path, dtype=str, keep_default_na=False, na_filter=False, index_col=False, **options
            )
    except pd.errors.ParserWarning:
        raise InvalidInputError(f"{path}: the lines have more cells than the header") from None
    except (OSError, ValueError) as error:  # pandas' parser errors and UnicodeDecodeError are ValueErrors
        raise InvalidInputError(f"{path}: cannot be read as a table: {error}") from None


def _double_colon(path: Path) -> pd.DataFrame:
    content = path.read_bytes().replace(b"::", b"\t")
    return _table(io.BytesIO(content), sep="\t", header=None, encoding="latin-1", quoting=3)


def _require(path: Path, table: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.columns:
            raise InvalidInputError(f"{path}: column {name!r} is missing; it has {list(table.columns)}")


def _column(table: pd.DataFrame, name: str) -> list[str]:
    return table[name].tolist() if name in table.columns else [""] * len(table)


def _videos(
    ids: list[str],
    titles: list[str],
    genres: list[str],
    overviews: list[str] | None = None,
    years: list[int | None] | None = None,
) -> Videos:
    named = [_TITLE_YEAR.search(title) for title in titles]
    if years is None:
        years = [int(match[1]) if match else None for match in named]
        titles = [
            title[: match.start()].rstrip() if match else title
            for title, match in zip(titles, named, strict=True)
        ]
    separator = "|" if any("|" in text for text in genres) else None
    whole = [text if text not in _NO_GENRES else "" for text in genres]
    return Videos(
        ids=tuple(ids),
        titles=tuple(titles),
        years=tuple(years),
        genres=tuple(_split(text, separator) for text in whole),
        overviews=tuple(overviews or [""] * len(ids)),
        added_ms=(-1,) * len(ids),
    )


def _split(text: str, separator: str | None) -> tuple[str, ...]:
    parts = (part.strip() for part in text.split(separator))
    return tuple(dict.fromkeys(part for part in parts if part and part not in _NO_GENRES))


def _dataset(
    path: Path, videos: Videos, events: pd.DataFrame, names: Sequence[str], until_ms: int | None = None
) -> Dataset:
    user, item, at, rating = names
    seconds = pd.to_numeric(events[at], errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~(np.abs(seconds) < END_OF_TIME_S))  # also what is no number
    if len(wrong):
        told = events[at].iloc[wrong[0]][:40]
        raise InvalidInputError(f"{path}: {at} of row {wrong[0] + 1} is no time in seconds: {told!r}")
    at_ms = np.round(seconds * 1000).astype(np.int64)
    if until_ms is not None:
        events, at_ms = events[at_ms <= until_ms], at_ms[at_ms <= until_ms]
        if not len(events):
            raise InvalidInputError(
                f"{path}: no interaction up to {until_ms} ms: there is nothing to train on"
            )
    given = events[rating] if rating in events.columns else pd.Series([""] * len(events))
    values = pd.to_numeric(given, errors="coerce").to_numpy(np.float32)
    dataset = make_dataset(videos, events[user].tolist(), events[item].tolist(), at_ms, values)
    unread = int(((given != "").to_numpy() & np.isnan(values)).sum())
    told = (f"{unread} ratings are no numbers: they count as none",) if unread else ()
    return replace(dataset, warnings=dataset.warnings + told)
