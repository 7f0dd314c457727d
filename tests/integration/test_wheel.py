"""The installed package holds every file that the rooms need, not only Python: templates, styles, migrations."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
# Not read by a process of the platform: files for images, pages and other programs.
LEFT_OUT = {".svg", ".md"}


def wanted() -> set[str]:
    paths = (path for room in ROOMS for path in (ROOT / room).rglob("*"))
    return {
        str(path.relative_to(ROOT))
        for path in paths
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.relative_to(ROOT).parts[:2] not in {("deploy", "images"), ("monitoring", "secrets")}
        and path.suffix not in LEFT_OUT
    }


def test_the_wheel_holds_every_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        source,
    ]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wanted() - set(zipfile.ZipFile(wheel).namelist()) == set()
