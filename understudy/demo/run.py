"""The demo from beginning to end, read top to bottom."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from core.clock import SystemClock
from core.errors import RefusedError
from core.settings import PlatformSettings
from deploy.settings import DeploySettings
from deploy.wiring import build_manager
from understudy.demo import steps
from understudy.demo.children import Children
from understudy.demo.narrator import Narrator
from understudy.demo.steps import Ports, Stage
from understudy.demo.story import tell
from understudy.demo.targets import write_targets
from understudy.loading import split_each_viewer
from understudy.wiring import open_migrated_store


def run_demo(platform: PlatformSettings, ports: Ports, *, data: Path | None, seed: int, stay: bool) -> None:
    """Load, train, serve, release v2, release the broken v3, tell the story; end every child.

    With `stay` the platform keeps running until Ctrl-C.

    Raises:
        RefusedError: a port is taken, or the home holds another data set.
    """
    check_ports(ports)
    stage = build_stage(platform, ports)
    try:
        stage.narrator.title("Understudy: two versions, one audience, one verdict")
        dataset = steps.read_data(stage, data)
        history, held_out = split_each_viewer(dataset, steps.FIRST_SHARE)
        steps.load(stage, history)
        steps.train(stage)
        steps.start_processes(stage)
        audience = steps.audience_of(history, held_out)
        with steps.viewers_playing(stage, audience, seed) as tally:
            write_targets(stage)
            steps.release_until_decided(stage, "v2")
            steps.show_gate_refusing(stage, "v3")
            steps.release_until_decided(
                stage, "v3", force_reason="the demo shows that the online evaluation catches it"
            )
        write_targets(stage)
        steps.wait_until_read(stage)
        tell(stage, tally())
        if stay:
            stage.narrator.say("Running until Ctrl-C.")
            steps.keep_running(stage)
    finally:
        end(stage)


def end(stage: Stage) -> None:
    """Stop every process, whatever else is asked meanwhile: a second Ctrl-C must not leave one behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    stage.narrator.say("stopping the processes ...")
    try:
        stage.children.stop()
    finally:
        stage.manager.stop_all()
        stage.database.close()


def check_ports(ports: Ports) -> None:
    """Raises RefusedError if somebody else listens where the demo wants to: it would play into that platform."""
    for option, port in {
        "balancer": ports.balancer,
        "control": ports.control,
        "reader": ports.reader,
    }.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise RefusedError(
                    f"port {port} is taken ({error.strerror}): give another --{option}-port"
                ) from None


def build_stage(platform: PlatformSettings, ports: Ports) -> Stage:
    """Wiring of the demo."""
    clock = SystemClock()
    database = open_migrated_store(platform)
    return Stage(
        platform=platform,
        clock=clock,
        database=database,
        manager=build_manager(platform, DeploySettings.load(), clock),
        children=Children(platform.home / "logs", clock, {"UNDERSTUDY_HOME": str(platform.home)}),
        ports=ports,
        narrator=Narrator(),
    )
