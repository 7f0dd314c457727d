"""`understudy train` and `understudy recommend` on CSV files: no database, no server, no clock."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from threadpoolctl import threadpool_limits

from core.errors import InvalidInputError
from inference.recommender.bundle import load_bundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommender
from storage.bundles import BundleRef
from training.build import train_bundle
from training.readers import read_csv
from training.recipes import RANKED, Recipe
from vectordb.encoder import Encoder


def train_from_csv(
    ratings: Path,
    items: Path,
    out: Path,
    encoder: Encoder,
    *,
    as_of_s: float | None = None,
    recipe: Recipe = RANKED,
    evaluated: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> BundleRef:
    """Train on CSV files and publish the bundle as the folder `out`, whose name is its version.

    Args:
        ratings: header `user,item,ts,rating`; ts in seconds; the rating may be missing.
        items: header `item,title,genres,overview`.
        out: the bundle's folder to be.
        encoder: makes the vectors.
        as_of_s: leave out what is later, in seconds; by default the newest interaction.
        recipe: what to train.
        evaluated: whether it is evaluated offline too; without that it passes no gate.
        say: hears progress and warnings.

    Raises:
        InvalidInputError: a file or column is missing, or there is nothing to train on.
        RefusedError: there is something at `out`.
    """
    target = out.resolve()
    as_of_ms = None if as_of_s is None else round(as_of_s * 1000)
    dataset = read_csv(ratings, items, as_of_ms)
    return train_bundle(
        dataset,
        recipe,
        target.name,
        target.parent,
        encoder,
        as_of_ms=as_of_ms,
        evaluated=evaluated,
        say=say,
    )


def recommend_to_csv(bundle: Path, users: Path, count: int, out: Path, *, diverse: bool = False) -> int:
    """Write `user,item,rank` for every viewer in `users` (one id a line), as of the bundle's time.

    A viewer without history gets what is trending. With `diverse` lists are mixed as they are when served. Returns the number of viewers.

    Raises:
        InvalidBundleError: `bundle` is not a bundle or is damaged.
        InvalidInputError: `users` cannot be read, `out` not written, or `count` is out of range.
    """
    recommender, named = Recommender(load_bundle(bundle), diverse=diverse), _ids(users)
    with _whole_or_not(out) as file, threadpool_limits(limits=1, user_api="blas"):
        writer = csv.writer(file)
        writer.writerow(["user", "item", "rank"])
        for viewer in named:
            answer = recommender.recommend(Request(viewer, count), None, None, recommender.model.as_of_ms)
            writer.writerows((viewer, item.video_id, rank) for rank, item in enumerate(answer.items, 1))
    return len(named)


def _ids(users: Path) -> list[str]:
    """Each id once, in the order of the file; blank lines and a byte-order mark are none."""
    try:
        # Not splitlines(), which also cuts at characters that an id may have, such as U+2028.
        lines = users.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{users}: cannot be read as a list of ids: {error}") from None
    return list(dict.fromkeys(line for line in lines if line))


@contextmanager
def _whole_or_not(out: Path) -> Iterator[TextIO]:
    """A file to write that becomes `out` at the end: interrupted, it leaves what was there before."""
    device = out.exists() and not out.is_file()  # such as /dev/stdout: nothing may take its place
    target = out.resolve()
    beside = out if device else target.with_name(f".{target.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            yield file
        if not device:
            beside.replace(target)
    except BrokenPipeError:
        raise  # nobody reads any more: no error of ours
    except OSError as error:
        raise InvalidInputError(f"{out}: cannot be written: {error}") from None
    finally:
        if not device:
            with suppress(OSError):  # it became `out`, or never was
                beside.unlink()
