"""How good the recommendations are, through the command line: `make bench-quality`.

For every data set and split: a check is cut, `understudy train` and `understudy recommend` answer it without
knowing what came after, and the lists are scored beside trending with the half-life that is best in hindsight
and beside popularity. All figures of one run are printed and written into docs/quality.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from inference.recommender.bundle import load_bundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommender
from tests.benchmarks.quality_check import (
    HALF_LIVES_DAYS,
    Check,
    Score,
    make_check,
    mean_and_error,
    read_check,
    read_lists,
    score,
    trending,
)
from tests.benchmarks.quality_page import replaced, tables
from training.fetch import fetch_ml_100k

ROOT: Final = Path(__file__).resolve().parents[2]
# The largest part first: it pays for encoding the titles, whose vectors the others find beside their bundles.
SPLITS: Final = {"movietweetings-early": (0.9, 0.8, 0.7, 0.6), "ml-100k": (0.9, 0.75)}
TIMED_VIEWERS: Final = 500
FIGURES: Final = "figures.json"  # of one split, in its folder: a run that was interrupted goes on from there


@dataclass(frozen=True)
class Cost:
    """What one command took: seconds by the clock, seconds of processors, and MiB at most."""

    wall_s: float
    cpu_s: float
    memory_mb: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 once something was measured; 1 without any data."""
    given = _parse(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        rows = [
            _known(work, name, split) or measure(name, folder, split, work, given)
            for name, folder in _folders(given).items()
            for split in SPLITS[name]
            if not given.only or f"{name}:{split:g}" in given.only
        ]
    if not rows:
        return 1
    rows.sort(key=lambda row: (list(SPLITS).index(row["data"]), row["split"]))
    text = tables(rows)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1))
    if given.write is not None:
        given.write.write_text(replaced(given.write.read_text("utf-8"), text), "utf-8")
    print(text)
    return 0


def measure(name: str, folder: Path, split: float, work: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Everything about one split, ready for JSON."""
    check_folder = work / name / f"check-{split}"
    make_check(folder, check_folder, split)
    check = read_check(check_folder)
    bundle = work / name / f"v{split}"
    data = ["--ratings", str(check_folder / "train.csv"), "--items", str(check_folder / "items.csv")]
    trained = run("train", *data, "--out", str(bundle), *_chosen(given))
    lists, answered = ask(bundle, check_folder)
    ours = score(check, lists)
    served = score(check, ask(bundle, check_folder, "--diverse")[0])
    half_life = max(HALF_LIVES_DAYS, key=lambda days: float(score(check, trending(check, days)).ndcg.mean()))
    best = score(check, trending(check, half_life))
    popular = score(check, trending(check, None))
    row = {
        "data": name,
        "split": split,
        "interactions": len(check.train),
        "videos": len(check.rated),
        "viewers": len(check.truth),
        "half_life_days": half_life,
        "understudy": _figures(ours),
        "served": _figures(served),
        "trending": _figures(best),
        "popularity": _figures(popular),
        "over_trending": mean_and_error(ours.ndcg - best.ndcg),
        "over_popularity": mean_and_error(ours.ndcg - popular.ndcg),
        "served_over_ours": mean_and_error(served.ndcg - ours.ndcg),
        "faults": {**ours.faults, **{f"{name} as served": found for name, found in served.faults.items()}},
        "train": asdict(trained),
        "evaluated": not given.lists_alone,
        "recommend": asdict(answered),
        "model_ms": model_time(bundle, check),
    }
    (check_folder / FIGURES).write_text(json.dumps(row))
    print(_line(row), file=sys.stderr, flush=True)
    return row


def _known(work: Path, name: str, split: float) -> dict[str, Any] | None:
    """The figures of an earlier run in the same folder, if there was one."""
    file = work / name / f"check-{split}" / FIGURES
    found: dict[str, Any] | None = json.loads(file.read_text()) if file.is_file() else None
    return found


def ask(bundle: Path, check: Path, *options: str) -> tuple[dict[str, list[str]], Cost]:
    """The lists that `understudy recommend` writes for the viewers of a check, and what that took."""
    lists = check / f"recommendations{''.join(options)}.csv"
    cost = run("recommend", "--bundle", str(bundle), "--users", str(check / "users.txt"), "--count", "20",
               "--out", str(lists), *options)  # fmt: skip
    return read_lists(lists), cost


def run(*arguments: str) -> Cost:
    """One command of ours as a process of its own.

    Raises:
        RuntimeError: it failed; its words are above.
    """
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "understudy", *arguments], cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"understudy {arguments[0]} ended with {process.returncode}")
    wall_s = time.perf_counter() - began
    return Cost(round(wall_s, 1), round(used.ru_utime + used.ru_stime, 1), round(used.ru_maxrss / 1024, 1))


def model_time(bundle: Path, check: Check) -> tuple[float, float]:
    """Median and 99th percentile of one recommendation in milliseconds of one core, the check's own viewers."""
    recommender = Recommender(load_bundle(bundle))
    now_ms = recommender.model.as_of_ms
    viewers = list(check.truth)[:TIMED_VIEWERS]
    taken = []
    with threadpool_limits(limits=1):
        for viewer in viewers:
            began = time.thread_time()
            recommender.recommend(Request(viewer, 20), None, None, now_ms)
            taken.append(1000 * (time.thread_time() - began))
    median, p99 = np.percentile(taken[10:], [50, 99])
    return round(float(median), 2), round(float(p99), 2)


def _figures(found: Score) -> dict[str, Any]:
    return {
        "ndcg@20": mean_and_error(found.ndcg),
        "recall@20": mean_and_error(found.recall),
        "hit@10": mean_and_error(found.hit),
        "coverage@20": found.coverage,
        "cold_share": found.cold,
    }


def _chosen(given: argparse.Namespace) -> list[str]:
    """Options of `understudy train` that this run asks for."""
    recipe = [] if given.recipe is None else ["--recipe", given.recipe]
    return [*recipe, *(["--no-evaluation"] if given.lists_alone else [])]


def _line(row: dict[str, Any]) -> str:
    ours, best, popular = (row[name]["ndcg@20"][0] for name in ("understudy", "trending", "popularity"))
    return (
        f"{row['data']} {row['split']}: NDCG@20 {ours:.4f}, trending ({row['half_life_days']:g} d) {best:.4f}, "
        f"popularity {popular:.4f}: {ours / best - 1:+.1%} in {row['train']['wall_s']:.0f} s"
    )


def _folders(given: argparse.Namespace) -> dict[str, Path]:
    """The data sets that are here; what is missing is said, not measured."""
    folders: dict[str, Path] = {}
    if (given.movietweetings / "ratings.csv").is_file():
        folders["movietweetings-early"] = given.movietweetings
    else:
        print(f"movietweetings-early: no ratings.csv in {given.movietweetings}; left out", file=sys.stderr)
    if not given.without_ml_100k:
        folders["ml-100k"] = given.ml_100k or fetch_ml_100k(ROOT / ".services/data")
    return folders


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_quality", description=__doc__)
    parser.add_argument(
        "--movietweetings",
        type=Path,
        default=ROOT.parent / "shared/data/movietweetings-early",
        help="folder with its ratings.csv and movies.csv; left out where there is none",
    )
    parser.add_argument("--ml-100k", type=Path, help="folder with recbole's files [default: fetched]")
    parser.add_argument("--without-ml-100k", action="store_true")
    parser.add_argument("--recipe", help="of `understudy train` [default: its own]")
    parser.add_argument(
        "--work",
        type=Path,
        help="keep checks, bundles and figures here; a split that is there is not repeated",
    )
    parser.add_argument(
        "--lists-alone", action="store_true", help="train without the bundle's own evaluation: half the time"
    )
    parser.add_argument(
        "--only", action="append", metavar="DATA:SPLIT", help="such as ml-100k:0.9; repeatable"
    )
    parser.add_argument("--json", type=Path, help="also write all figures as JSON")
    parser.add_argument("--write", type=Path, help="the page whose measured part is replaced")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
