"""The steps of the demo, in order. Each does nothing that a person could not do with one command."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from scipy import sparse

from core.clock import Clock
from core.errors import DependencyError, RefusedError
from core.events import TOPIC_INTERACTIONS
from core.settings import PlatformSettings, child_environment
from deploy.evaluation import ReleasePlan
from deploy.releases import ReleaseManager
from ingest.audit import AuditReport, audit
from storage.bundles import list_bundles
from storage.connect import open_event_log, open_serving_store
from storage.database import Database
from training.dataset import Dataset
from training.fetch import fetch_ml_100k
from training.readers import read_folder
from understudy.client import Client
from understudy.demo.audience import Audience, build_audience
from understudy.demo.children import Children
from understudy.demo.memory import remember_data
from understudy.demo.narrator import Narrator
from understudy.demo.player import Player, Tally
from understudy.demo.targets import write_targets
from understudy.loading import load_dataset
from understudy.output import progress

FIRST_SHARE = 0.75
DECIDED = frozenset({"promoted", "rolled_back"})
ATTEMPTS = 3  # at a verdict, where a release ends undecided
# Version -> recipe: the simple design, the better one, and a broken build of the better one.
VERSIONS = {"v1": "content", "v2": "blend", "v3": "broken"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo's processes listen, on loopback."""

    balancer: int = 8080
    control: int = 8081
    reader: int = 8082

    @staticmethod
    def url(port: int) -> str:
        return f"http://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class Stage:
    """What every step works with; made once, by `understudy.demo.run`."""

    platform: PlatformSettings
    clock: Clock
    database: Database
    manager: ReleaseManager
    children: Children
    ports: Ports
    narrator: Narrator


def demo_plan() -> ReleasePlan:
    """The release plan of the demo: shortened in time, not in its error rates."""
    fields = msgspec.json.decode(files("understudy.demo").joinpath("plan.json").read_bytes(), type=dict)
    fields.pop("note")
    return ReleasePlan.from_json(fields)


def read_data(stage: Stage, folder: Path | None) -> Dataset:
    """The data set: MovieLens-100k, fetched once, or the folder given."""
    with stage.narrator.step(f"Data: {folder or 'MovieLens-100k'}"):
        dataset = read_folder(folder or fetch_ml_100k(stage.platform.home / "data"))
        stage.narrator.say(
            f"{len(dataset):,} interactions of {len(dataset.viewers):,} viewers with {len(dataset.videos):,} videos"
        )
        return dataset


def load(stage: Stage, history: Dataset) -> None:
    """a. The first part of every viewer's interactions, through the event log and the reader.

    Raises:
        RefusedError: this home holds another data set.
    """
    known = remember_data(stage.platform.home, history.digest(), stage.clock.now_ms() - history.newest_ms)
    if _stored_and_waiting(stage) >= (len(history), 0):
        stage.narrator.say("the history is already stored")
        return
    with stage.narrator.step(f"Loading {len(history):,} interactions through the event log and the reader"):
        _start_reader(stage)
        wait_until_read(stage)  # what an interrupted run had sent already
        if _stored_and_waiting(stage)[0] < len(history):
            _send(stage, history, known.shift_ms)
            wait_until_read(stage)
        say_audit(stage)


def _send(stage: Stage, history: Dataset, shift_ms: int) -> None:
    log = open_event_log(stage.platform, stage.clock)
    serving = open_serving_store(stage.platform, stage.clock)
    with closing(log), closing(serving), progress("sending") as on_progress:
        load_dataset(
            history,
            shift_ms=shift_ms,
            database=stage.database,
            serving_store=serving,
            log=log,
            on_progress=on_progress,
        )


def _start_reader(stage: Stage) -> None:
    """The reader is the first process: the history already comes through it."""
    if all(child.name != "reader" for child in stage.children.running):
        port = stage.ports.reader
        reader = stage.children.start("reader", Ports.url(port), ["ingest", "--port", str(port)])
        stage.children.wait_ready([reader])


def wait_until_read(stage: Stage) -> None:
    """Until the reader has taken every interaction in the event log."""
    with progress("reading") as on_progress:
        while (account := _stored_and_waiting(stage))[1]:
            keep_alive(stage)
            on_progress(account[0], sum(account))
            stage.clock.sleep(0.5)


def _stored_and_waiting(stage: Stage) -> tuple[int, int]:
    """Viewers' interactions that are stored, each once, and records that still wait for the reader."""
    parts = [part for part in _audit(stage).partitions if part.where.topic == TOPIC_INTERACTIONS]
    return sum(part.account.stored for part in parts), sum(part.waiting for part in parts)


def train(stage: Stage) -> None:
    """b, c. Encode the videos, train, publish: one bundle a version, none of them twice."""
    present = {bundle.version for bundle in list_bundles(stage.platform.bundles)}
    for version, recipe in VERSIONS.items():
        if version in present:
            stage.narrator.say(f"bundle {version} is already there")
            continue
        with stage.narrator.step(f"Training {version} (recipe: {recipe})"):
            run_command(stage, "train", "--version", version, "--recipe", recipe)


def start_processes(stage: Stage) -> None:
    """d. Reader, main (v1), load balancer, control plane and scheduler, each a process of its own."""
    with stage.narrator.step("Starting reader, main, load balancer, control plane and scheduler"):
        ports, children = stage.ports, stage.children
        _start_reader(stage)
        if stage.manager.status()["main"] is None:
            stage.manager.start("v1")
        else:
            stage.manager.tick()
        balancer = children.start(
            "balancer", Ports.url(ports.balancer), ["balance", "--port", str(ports.balancer)]
        )
        control = children.start(
            "control", Ports.url(ports.control), ["control", "--port", str(ports.control)]
        )
        children.start("scheduler", "", ["release", "watch"])
        children.wait_ready([balancer, control])
        first = Client(Ports.url(ports.balancer)).recommend("1", count=3)
        stage.narrator.say(
            f"the first recommendation, by {first.version}: videos {', '.join(i.video_id for i in first.items)}"
        )


def audience_of(history: Dataset, held_out: Dataset) -> Audience:
    """The demo's viewers, from what they really watched after the split."""
    return build_audience(history.viewers, _watched(history), _watched(held_out), history.videos.ids)


def _watched(dataset: Dataset) -> sparse.csr_matrix:
    shape = (len(dataset.viewers), len(dataset.videos))
    ones = np.ones(len(dataset), np.int8)
    return sparse.csr_matrix((ones, (dataset.viewer, dataset.video)), shape=shape)


@contextmanager
def viewers_playing(stage: Stage, audience: Audience, seed: int) -> Iterator[Callable[[], Tally]]:
    """f. The audience plays while the block runs; the value tells what it did so far."""
    stop, latest = threading.Event(), [Tally()]

    def remember(_round: int, tally: Tally) -> None:
        latest[0] = tally

    player = Player(Client(Ports.url(stage.ports.balancer)), audience, stage.clock, seed)
    thread = threading.Thread(target=player.play, args=(stop, remember), name="player", daemon=True)
    thread.start()
    try:
        yield lambda: latest[0]
    finally:
        stop.set()
        thread.join(30)


def release_until_decided(stage: Stage, version: str, *, force_reason: str = "") -> None:
    """e, g. Release until the evidence has decided, and its verdict is carried out.

    A release that an interrupted run left open goes on; one that ended undecided, because the demo was
    away for longer than its plan allows, is followed by another.
    """
    with stage.narrator.step(f"Release of {version}: the viewers decide"):
        for _ in range(ATTEMPTS):
            row = _last_release(stage, version)
            if row is not None and row["state"] in DECIDED:
                break
            if row is None or row["closed_ms"] is not None:
                force = bool(force_reason)
                stage.manager.start(version, plan=demo_plan(), force=force, reason=force_reason)
                continue_from = _last_release(stage, version)
            else:
                continue_from = row
            _watch(stage, str((continue_from or {})["release_id"]))
        _tell_verdict(stage, version)


def _last_release(stage: Stage, version: str) -> dict[str, Any] | None:
    """The newest release of a version that met viewers."""
    rows = stage.manager.history()
    return next((row for row in rows if row["version"] == version and row["state"] != "refused"), None)


def _tell_verdict(stage: Stage, version: str) -> None:
    row = _last_release(stage, version)
    if row is not None:
        stage.narrator.say(f"{version}: {row['verdict'] or row['state']}. {row['reason']}")


def show_gate_refusing(stage: Stage, version: str) -> None:
    """g. The offline gate must not let a broken build through."""
    if any(r["version"] == version for r in stage.manager.history()):
        return
    with stage.narrator.step(f"Release of {version}, a broken build: the offline gate"):
        try:
            stage.manager.start(version, plan=demo_plan())
        except RefusedError as refusal:
            stage.narrator.say(str(refusal))
        else:
            raise RefusedError(f"the offline gate let {version} through, which is a broken build")


def _watch(stage: Stage, release_id: str) -> None:
    """Until the release is closed; the scheduler process does the work."""
    stage.narrator.say(f"{Ports.url(stage.ports.control)}/releases/{release_id}")
    told = -1
    while (found := stage.manager.explain(release_id))["closed_ms"] is None:
        if found["looks"] > told:
            told = found["looks"]
            stage.narrator.say(_look_in_a_line(found))
            write_targets(stage)
        keep_alive(stage)
        stage.clock.sleep(1)


def _look_in_a_line(found: dict[str, Any]) -> str:
    look = found["last_look"]
    if look is None:
        return f"{found['state']}, stage {found['stage']}: no look yet"
    line = (
        f"look {look['look']}, stage {found['stage']}: {look['canary']['requests']:,} canary requests matured"
    )
    if look["theta"] is None:
        return line
    change = [math.expm1(look[name]) for name in ("theta", "low", "high")]
    e_values = {e["name"]: math.exp(min(e["log_e"], 50)) for e in look["evidence"]}
    return (
        f"{line}; watch-through {change[0]:+.0%} ({change[1]:+.0%} to {change[2]:+.0%});"
        f" evidence: not worse {e_values['non_inferiority']:.3g}, harm {e_values['harm_ratio']:.3g}"
    )


def keep_running(stage: Stage) -> None:
    """Until Ctrl-C."""
    while True:
        keep_alive(stage)
        stage.clock.sleep(0.5)


def keep_alive(stage: Stage) -> None:
    """A child that ends on its own is started again, and the demo says so."""
    for sentence in stage.children.revive():
        stage.narrator.say(sentence)


def run_command(stage: Stage, *arguments: str) -> None:
    """Run `understudy ARGUMENTS...` to its end, as a person would.

    Raises:
        DependencyError: it failed; the end of what it said is in the message.
    """
    done = subprocess.run(
        [sys.executable, "-m", "understudy", *arguments],
        env=child_environment(UNDERSTUDY_HOME=str(stage.platform.home)),
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        stage.narrator.say(line)
    if done.returncode:
        raise DependencyError(f"understudy {' '.join(arguments)} failed: {done.stderr.strip()[-2000:]}")


def _audit(stage: Stage) -> AuditReport:
    log = open_event_log(stage.platform, stage.clock)
    try:
        return audit(stage.database, log)
    finally:
        log.close()


def say_audit(stage: Stage) -> None:
    """What the event log holds against what is stored."""
    for sentence in _audit(stage).sentences():
        stage.narrator.say(sentence)
