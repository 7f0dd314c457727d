"""`understudy simulate`: believable, seeded traffic."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import closing

import click

from core.clock import SystemClock
from core.errors import DependencyError, RefusedError
from core.settings import PlatformSettings
from ingest.loading import publish_catalogue
from ingest.simulator import HttpStage, LogStage, SimulationPlan, SimulationTally, Stage, simulate
from storage.connect import open_event_log, open_serving_store
from storage.videos import Video, all_videos
from understudy.output import FiniteRange, json_option, progress, show
from understudy.wiring import load_platform, open_migrated_store


@click.command("simulate")
@click.option(
    "--url", help="The load balancer, as in http://127.0.0.1:8080.  [default: events straight into the log]"
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed plays the same visits.")
@click.option("--viewers", type=click.IntRange(1), default=1_000, show_default=True)
@click.option("--visits", type=click.IntRange(1), help="How many.  [default: until Ctrl-C]")
@click.option("--rate", type=FiniteRange(0.01), default=5.0, show_default=True, help="Visits a second.")
@click.option(
    "--new-videos",
    type=FiniteRange(0),
    default=0.0,
    show_default=True,
    help="New videos an hour, put into the catalogue of this home and watched by many.",
)
@click.option(
    "--bad-share", type=FiniteRange(0, 1), default=0.0, show_default=True, help="Share of spoilt events."
)
@json_option
def simulate_command(
    url: str | None,
    seed: int,
    viewers: int,
    visits: int | None,
    rate: float,
    new_videos: float,
    bad_share: float,
    as_json: bool,
) -> None:
    """Play seeded viewers: sessions, popularity, day and night, new videos, and bad events at a chosen share."""
    platform, clock = load_platform(), SystemClock()
    plan = SimulationPlan(seed, viewers, rate, bad_share, visits=visits, new_videos_per_hour=new_videos)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    stage = HttpStage(url) if url else _log_stage(platform, clock, seed)
    with progress("visits") as on_progress:
        tally = simulate(
            stage,
            plan,
            clock,
            stop,
            lambda t: on_progress(t.visits, visits or t.visits),
            _publisher(platform, clock) if new_videos else lambda _: None,
        )
    show(tally, as_json, lambda: [_line(tally)])
    if tally.visits and tally.failures == tally.visits:
        raise DependencyError(f"not one of {tally.visits} visits was answered")


def _publisher(platform: PlatformSettings, clock: SystemClock) -> Callable[[Video], None]:
    database, serving_store = open_migrated_store(platform), open_serving_store(platform, clock)
    return lambda video: publish_catalogue([video], database, serving_store)


def _log_stage(platform: PlatformSettings, clock: SystemClock, seed: int) -> Stage:
    with closing(open_migrated_store(platform)) as database, database.read() as connection:
        videos = [video.video_id for video in all_videos(connection)]
    if not videos:
        raise RefusedError("the catalogue is empty: run `understudy load` first, or give --url")
    return LogStage(open_event_log(platform, clock), videos, seed)


def _line(tally: SimulationTally) -> str:
    new = f", {tally.new_videos:,} new videos" if tally.new_videos else ""
    return f"{tally.visits:,} visits, {tally.events:,} events ({tally.bad:,} spoilt), {tally.failures:,} failed{new}"
