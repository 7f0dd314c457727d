"""deploy/images/replace-reader, with a stand-in for docker that keeps its one container in a file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy/images/replace-reader"
# An image named "broken" does not stay up.
DOCKER = """#!/usr/bin/env bash
container="$(dirname "$0")/container"
echo "$*" >> "$(dirname "$0")/calls"
case $1 in
    run) image=${@: -2:1}; echo "$image" > "$container" ;;
    stop) [ -e "$container" ] ;;
    rm) rm "$container" ;;
    inspect)
        [ -e "$container" ] || exit 1
        case $3 in
            *Image*) cat "$container" ;;
            *) if grep -q broken "$container"; then echo "true 1"; else echo "true 0"; fi ;;
        esac ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a docker of ours and the platform's settings."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "platform.env").write_text("UNDERSTUDY_HOME=/srv/understudy\nUNDERSTUDY_LOG_LEVEL=INFO\n")
    return tmp_path


def replace(machine: Path, image: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{machine}:/usr/bin:/bin", "SETTLE_SECONDS": "1"}
    command = ["bash", SCRIPT, image, machine / "platform.env"]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


def running(machine: Path) -> str:
    return (machine / "container").read_text().strip() if (machine / "container").exists() else ""


def test_the_first_reader_is_started(machine: Path) -> None:
    assert replace(machine, "reader:1").returncode == 0
    assert running(machine) == "reader:1"
    assert "--volume /srv/understudy:/var/lib/understudy" in (machine / "calls").read_text()


def test_a_newer_reader_takes_over_after_the_old_one_was_asked_to_stop(machine: Path) -> None:
    replace(machine, "reader:1")
    assert replace(machine, "reader:2").returncode == 0
    assert running(machine) == "reader:2"
    calls = (machine / "calls").read_text().splitlines()
    assert any(call.startswith("stop --time 30") for call in calls)


def test_a_reader_that_does_not_stay_up_is_replaced_by_the_old_one(machine: Path) -> None:
    replace(machine, "reader:1")
    done = replace(machine, "broken:2")
    assert done.returncode == 1
    assert running(machine) == "reader:1"
    assert "broken:2 did not stay up; reader:1 runs instead" in done.stderr


def test_settings_without_a_folder_are_refused_before_anything_stops(machine: Path) -> None:
    replace(machine, "reader:1")
    (machine / "platform.env").write_text("")
    done = replace(machine, "reader:2")
    assert done.returncode != 0
    assert running(machine) == "reader:1"
    assert "UNDERSTUDY_HOME is missing" in done.stderr
