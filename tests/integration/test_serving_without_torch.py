"""The serving processes start with what the serving extras install, and nothing else: no torch above all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_packaging import SERVING, closure, direct, owners

ROOT = Path(__file__).resolve().parents[2]
# Run in a process of its own: every module that the image does not have cannot be imported.
WITHOUT = """
import importlib, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not in the serving image", name=name)

absent, modules, arguments = (json.loads(text) for text in sys.argv[1:4])
sys.meta_path.insert(0, Absent())
for module in modules:
    importlib.import_module(module)
if arguments:
    sys.argv = ["understudy", *arguments]
    importlib.import_module("understudy.cli").main()
"""


def absent_modules() -> list[str]:
    """Every installed top-level module that no package of the serving extras brings."""
    installed = closure(direct(*SERVING))
    return sorted(
        module for module, packages in owners().items() if not packages & (installed | {"understudy"})
    )


def run(modules: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    given = [json.dumps(value) for value in (absent_modules(), modules, arguments)]
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *given], cwd=ROOT, check=False, capture_output=True, text=True
    )


def test_torch_is_among_the_absent() -> None:
    assert {"torch", "sentence_transformers", "transformers", "implicit"} <= set(absent_modules())


@pytest.mark.parametrize(
    "module",
    [
        "inference.server",
        "load_balancer.server",
        "load_balancer.control.server",
        "ingest.server",
        "deploy.wiring",
    ],
)
def test_a_serving_process_imports(module: str) -> None:
    done = run([module], [])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", ["serve", "balance", "control", "ingest", "release watch", "release tick"]
)
def test_its_command_is_there(command: str) -> None:
    done = run([], [*command.split(), "--help"])
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
