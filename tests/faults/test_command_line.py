"""L1-L8: the command line as processes, on a platform whose versions really run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.settings import PlatformSettings, child_environment
from core.traffic import TrafficPlan
from deploy.runtime_process import ProcessRuntime
from storage import releases as store
from storage.database import open_database
from tests.small_model import publish_small
from tests.support import wait_until


class Home:
    """A platform in a folder, and `understudy` on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for version in ("v1", "v2"):
            publish_small(folder / "bundles", version)

    def popen(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "understudy", *arguments],
            env=child_environment(UNDERSTUDY_HOME=str(self.folder), UNDERSTUDY_DEPLOY_DRAIN_S="0"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.popen(*arguments)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    def json(self, *arguments: str) -> Any:
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def plan(self) -> TrafficPlan | None:
        database = open_database(PlatformSettings(home=self.folder).sql_url)
        with database.read() as connection:
            plan = store.current_plan(connection)
        database.close()
        return plan

    def stop(self) -> None:
        runtime = ProcessRuntime(self.folder)
        for instance in runtime.instances():
            runtime.stop(instance.name)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """v1 is main."""
    made = Home(tmp_path_factory.mktemp("cli"))
    try:
        assert made.json("release", "start", "v1")["state"] == "promoted"
        yield made
    finally:
        made.stop()


def test_l1_no_arguments_is_help(home: Home) -> None:
    code, out, err = home.run()
    assert code in {0, 2}
    assert "Commands:" in out + err
    assert "release" in out + err


def test_l2_an_unknown_version_names_the_nearest(home: Home) -> None:
    code, out, err = home.run("release", "start", "v22")
    assert (code, out) == (2, "")
    assert "v2" in err


def test_l3_promote_without_a_canary_is_refused(home: Home) -> None:
    code, _, err = home.run("release", "promote", "--force", "--reason", "x")
    assert code == 3
    assert "no release is open" in err


def test_l7_without_a_terminal_there_is_no_progress_bar(home: Home) -> None:
    for arguments in (["bundles"], ["release", "history"], ["release", "plan", "--viewers-a-day", "500"]):
        code, out, err = home.run(*arguments)
        assert (code, err) == (0, "")
        assert "\x1b" not in out
        assert "\r" not in out


def test_l6_a_closed_pipe_is_no_error(home: Home) -> None:
    process = home.popen("release", "status", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["release", "status"],
        ["release", "history"],
        ["release", "explain"],
        ["release", "tick"],
        ["release", "plan", "--viewers-a-day", "500"],
        ["bundles"],
        ["audit"],
        ["settings"],
    ],
)
def test_l8_json_always_parses(home: Home, arguments: list[str]) -> None:
    assert home.json(*arguments) is not None or arguments == ["release", "tick"]


def test_l4_l5_interrupted_promoted_and_rolled_back_twice(home: Home) -> None:
    """One story, because each step takes the platform where the step before has left it."""
    starting = home.popen("release", "start", "v2", "--force", "--reason", "a drill", start_new_session=True)
    wait_until(lambda: list(home.folder.glob("run/instances/v2-*-canary.json")), 60, "the canary's start")
    os.killpg(starting.pid, signal.SIGINT)
    _, err = starting.communicate(timeout=60)
    assert starting.returncode == 130
    assert "Traceback" not in err
    plan = home.plan()
    assert plan is not None
    assert (plan.main.version, plan.canary) == ("v1", None)
    assert home.json("release", "status")["release"]["state"] in {"starting", "smoke"}

    wait_until(lambda: home.json("release", "tick")["state"] == "running", 60, "the next tick to go on")
    code, _, err = home.run("release", "start", "v2")
    assert code == 3
    assert "is open" in err
    assert home.run("release", "promote", "v1", "--force", "--reason", "x")[0] == 3
    assert home.run("release", "promote", "v2")[0] == 3
    assert home.json("release", "promote", "v2", "--force", "--reason", "a drill")["state"] == "promoted"
    assert home.plan().main.version == "v2"  # type: ignore[union-attr]

    first = home.json("release", "rollback", "--reason", "back again")
    epoch = home.plan().epoch  # type: ignore[union-attr]
    again = home.json("release", "rollback", "--reason", "back again")
    assert (first["state"], first["version"]) == ("promoted", "v1")
    assert home.run("release", "start", "v2")[0] == 3, "the gate: a newer release than the one gone back to"
    named = home.json("release", "rollback", "--to", "v1")
    assert again["release_id"] == named["release_id"] == first["release_id"]
    assert home.plan().epoch == epoch  # type: ignore[union-attr]
    assert home.plan().main.version == "v1"  # type: ignore[union-attr]
    running = [instance for instance in ProcessRuntime(home.folder).instances() if instance.alive]
    assert [instance.version for instance in running] == ["v1"]
