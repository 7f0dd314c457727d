"""`understudy load | audit`: putting data in, and proving that all of it arrived."""

from __future__ import annotations

from pathlib import Path

import click

from core.clock import SystemClock
from core.errors import InvalidInputError, RefusedError
from storage.connect import open_event_log, open_serving_store
from understudy.output import FiniteRange, json_option, progress, show
from understudy.wiring import load_platform, open_migrated_store


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder: ml-100k, ml-1m, ml-latest.  [default: fetch ml-100k]",
)
@click.option("--ratings", type=click.Path(path_type=Path), help="CSV user,item,ts,rating; with --items.")
@click.option(
    "--items", type=click.Path(path_type=Path), help="CSV item,title,genres,overview; with --ratings."
)
@click.option(
    "--first",
    type=FiniteRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of each viewer's interactions to load.",
)
@click.option(
    "--shift/--no-shift",
    default=True,
    show_default=True,
    help="Move all times by one constant so that the newest is now.",
)
@click.option(
    "--rate",
    type=FiniteRange(0, min_open=True),
    help="Events a second.  [default: as fast as the event log takes them]",
)
@json_option
def load(
    data: Path | None,
    ratings: Path | None,
    items: Path | None,
    first: float,
    shift: bool,
    rate: float | None,
    as_json: bool,
) -> None:
    """Send a data set through the event log; `understudy ingest` makes rows of it."""
    from ingest.pacing import Pace
    from training.fetch import fetch_ml_100k
    from training.readers import read_csv, read_folder
    from understudy.loading import load_dataset, split_each_viewer

    platform, clock = load_platform(), SystemClock()
    if (ratings is None) != (items is None) or (data is not None and ratings is not None):
        raise InvalidInputError("give --data FOLDER, or --ratings FILE and --items FILE, or nothing")
    if ratings is not None and items is not None:
        dataset = read_csv(ratings, items)
    else:
        dataset = read_folder(data or fetch_ml_100k(platform.home / "data"))
    part, _ = split_each_viewer(dataset, first)
    shift_ms = clock.now_ms() - part.newest_ms if shift else 0
    with progress("loading") as on_progress:
        loaded = load_dataset(
            part,
            shift_ms=shift_ms,
            database=open_migrated_store(platform),
            serving_store=open_serving_store(platform, clock),
            log=open_event_log(platform, clock),
            on_progress=on_progress,
            pace=Pace(clock, rate) if rate is not None else None,
        )
    show(
        loaded,
        as_json,
        lambda: [f"{loaded.interactions:,} interactions of {loaded.viewers:,} viewers are in the event log"],
    )


@click.command()
@json_option
def audit(as_json: bool) -> None:
    """Compare what the event log holds with what is stored: lost, duplicated, every gap by name. Exit 3 if not clean."""
    from ingest.audit import audit as audit_log
    from ingest.settings import IngestSettings

    platform, clock = load_platform(), SystemClock()
    topics = IngestSettings.load().kinds
    report = audit_log(open_migrated_store(platform), open_event_log(platform, clock), topics)
    show(report.as_json(), as_json, report.sentences)
    if not report.clean:
        raise RefusedError("the event log and the store do not agree")
